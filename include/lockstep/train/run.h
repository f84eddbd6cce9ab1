// A resolved run: what a run file says, as typed values with defaults. config fills it; the
// components' own Options are made from it in train.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/data/loader.h"
#include "lockstep/nn/model.h"
#include "lockstep/nn/program.h"
#include "lockstep/optim/optimizer.h"
#include "lockstep/parallel/strategy.h"

namespace lockstep::train {

struct DataSection {
  data::Description dataset;
  std::string input, target, train = "train", val = "val", test = "test";
  data::Normalise normalise = data::Normalise::kStandard;
  data::Shuffle shuffle = data::Shuffle::kWindow;
  std::int64_t window = 0;
  std::int64_t sequence = 256;  // tokens of a sample, where the dataset is a token stream
  bool check_finite = true;
  bool accept_other = false;    // than the checkpoint's, on --resume
  std::int64_t threads = 0;     // that decode; 0: cores to spare
  data::CacheOptions cache;            // of the training split
  data::OnError on_error = data::OnError::kStop;
  double max_skipped = 0.01;           // of a split's samples
  // For messages: "a.h5", "train/*.h5, ...".
  std::string path() const {
    const std::vector<std::string>& names = dataset.path.empty() && !dataset.splits.empty()
                                                ? dataset.splits.front().files
                                                : dataset.path;
    if (names.empty()) return {};
    return names.front() + (names.size() > 1 ? ", ..." : "");
  }
};
struct ModelSection {
  nn::PresetOptions preset;
  std::vector<nn::LayerSpec> layers;   // non-empty: a model of one's own
  std::int64_t outputs = 0;            // 0: classes of the target, or its width
  std::string loss;                    // "": by the target's type
  std::vector<std::string> metrics;    // empty: by the loss
};
enum class OnNonFinite : std::uint8_t { kStop, kSkip, kRollback };
enum class OnSpike : std::uint8_t { kOff, kReport, kSkip, kRollback };
struct TrainSection {
  std::int64_t batch = 256, lanes = 8, accumulate = 1, epochs = 10, steps = 0 /* 0: by epochs */;
  std::uint64_t seed = 1;
  ops::Precision precision = ops::Precision::kFp32;
  nn::Recompute recompute = nn::Recompute::kNone;
  std::int64_t evaluate_every = 1;     // epochs; 0: only at the end
  std::int64_t patience = 0;           // early stopping: evaluations without improvement; 0: off
  double min_delta = 0;
  std::string monitor = "loss";        // "loss" or a metric, of the val split
  OnNonFinite on_nonfinite = OnNonFinite::kStop;
  OnSpike on_spike = OnSpike::kOff;
  double spike_threshold = 7;          // robust deviations above the median
  std::int64_t spike_window = 100;     // updates that a step is compared with
  std::int64_t max_skips = 10;         // updates left out one after another
  std::int64_t max_rollbacks = 3;
  std::int64_t rollback_skip = 0;      // steps' samples left out behind those of the bad step
};
struct ParallelSection {
  parallel::Options options;  // lanes, accumulate and streams follow from train and run
  std::string pretend_nodes;
};
struct RunSection {
  std::int64_t threads = 1;
  std::string isa = "auto", device = "cpu";
  double watchdog = 300;               // seconds
  std::int64_t memory = 0;             // bytes of a node; 0: what its cgroup or the machine has
  bool mixed = false;
  comm::ProgressBy progress = comm::ProgressBy::kAuto;
  std::int64_t check_replicas = 0;     // steps between comparisons of the ranks' copies; 0: off
  double time_limit = -1;              // seconds from the program's start; 0: off; -1: the job's
  double stop_before = 180;            // seconds between a stop for it and it
};
struct CheckpointSection {
  std::string dir;                     // "": no checkpoints
  std::string every = "10min";         // "10min", "500steps", "1epoch", "end", "auto"
  double mtbf = 150.0 * 86400;         // of one node, in seconds, for "auto"
  bool background = true;              // written while steps go on, from a copy in memory
  std::int64_t keep = 3;
};
struct LogSection {
  double every = 10;                   // seconds between lines in a log file
  std::int64_t window = 50;            // steps per line of metrics.jsonl
  std::int64_t events = 1024;          // kept of each thread; 0: none
  std::string mlperf;                  // a file for MLPerf's log lines; "": none
  std::string prometheus;              // a file for node exporter's textfile collector; "": none
};
struct PlanSection {
  std::vector<std::string> machine;    // files or names, each over those before; empty: none
};
struct Run {
  DataSection data;
  ModelSection model;
  TrainSection train;
  optim::Options optimizer;
  ParallelSection parallel;
  RunSection run;
  CheckpointSection checkpoint;
  LogSection log;
  PlanSection plan;
};

}  // namespace lockstep::train
