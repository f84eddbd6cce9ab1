#include "train/usage.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "lockstep/core/clock.h"
#include "lockstep/core/files.h"
#include "lockstep/core/log.h"
#include "lockstep/core/memory.h"
#include "train/host_names.h"
#include "train/time_limit.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

// Between checkpoints the record tells at least this often, in seconds, how far the run has come.
constexpr double kBetweenRecords = 60;

double wall_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double cpu_seconds() {
  struct rusage use = {};
  ::getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

// What the job asked for this rank, else what the run uses.
double cores_asked(const Run& run) {
  const char* text = std::getenv("SLURM_CPUS_PER_TASK");
  const double cores = text != nullptr ? std::atof(text) : 0;
  return cores > 0 ? cores : static_cast<double>(run.run.threads);
}

std::string slurm_job() {
  const char* job = std::getenv("SLURM_JOB_ID");
  return job != nullptr ? job : "";
}

// Collective: by node.
std::vector<std::string> node_names(comm::Communicator& communicator) {
  const std::vector<std::string> by_position = host_names(communicator);
  const comm::Topology& topology = communicator.topology();
  std::vector<std::string> names;
  for (int node = 0; node < topology.nodes(); ++node)
    names.push_back(by_position.at(topology.node_begin[node]));
  return names;
}

}  // namespace

// What a rank tells of itself.
struct Usage::RankUse {
  RankTimes times;
  double cores = 0, cpu = 0, wall = 0;
  double gpu_busy = -1;  // negative: it cannot be asked
  double gpu_peak = 0, memory = 0;
};

Usage::Usage(const Observed& observed)
    : observed_(observed),
      writes_(observed.communicator.rank() == 0),
      gauges_path_(observed.run.log.prometheus),
      gpu_(std::make_unique<GpuMeter>(observed.gpu)) {
  if (!writes_) return;
  if (!observed.run.checkpoint.dir.empty())
    record_file_ = std::make_unique<BackgroundFile>(usage_path(observed.run.checkpoint.dir));
  if (!gauges_path_.empty()) gauges_file_ = std::make_unique<BackgroundFile>(gauges_path_);
}

Usage::~Usage() {
  if (!recording_ || over_ || !writes_) return;
  Attempt& now = attempts_.back();
  now.ended = "an error";
  now.updated = wall_now();
  if (records()) record_file_->write(usage_json(attempts_));
  if (gauges_file_ == nullptr) return;
  RunGauges last = gauges();
  last.running = false;
  gauges_file_->write(prometheus_text(last));
}

// An attempt that has not told how it ended was killed, at the latest when this one started.
void Usage::load() {
  const fs::path path = usage_path(observed_.run.checkpoint.dir);
  std::error_code error;
  if (observed_.afresh || !fs::exists(path, error)) return;
  try {
    attempts_ = parse_usage(read_file(path), path.string());
  } catch (const Error& failure) {
    fs::path aside = path;
    aside += ".damaged";
    fs::rename(path, aside, error);
    log::warn("{}; it begins anew, and the old one is {}", failure.what(), aside.string());
  }
  for (Attempt& attempt : attempts_) {
    if (attempt.ended.empty()) attempt.ended = "killed";
  }
}

void Usage::begun(std::int64_t step) {
  // A run that is over and is started again uses nothing.
  recording_ = step < observed_.total_steps;
  std::vector<std::string> hosts = node_names(observed_.communicator);
  if (!recording_) return;
  if (writes_ && records()) load();
  Attempt& now = attempts_.emplace_back();
  now.updated = wall_now();
  now.started = now.updated - (seconds_now() - program_start());
  now.hosts = std::move(hosts);
  now.ranks = observed_.communicator.size();
  now.threads = observed_.run.run.threads;
  now.slurm_job = slurm_job();
  now.history = StepHistory(step);
  now.seconds["start"] = seconds_now() - program_start();
  rate_since_ = seconds_now();
  if (!writes_) return;
  next_record_ = seconds_now() + kBetweenRecords;
  // With --overwrite the old record goes with the old checkpoints, at the first save.
  if (records() && !observed_.afresh) write_record();
  if (gauges_file_) gauges_file_->write(prometheus_text(gauges()));
  next_gauges_ = seconds_now() + observed_.run.log.every;
}

void Usage::ended(const Stretch& stretch) {
  if (!recording_ || !writes_) return;
  attempts_.back().history.add(stretch.step, stretch.steps, stretch.seconds);
  rate_steps_ += stretch.steps;
  steps_done_ += stretch.steps;
  if (stretch.last != nullptr) last_ = *stretch.last;
  const double now = seconds_now();
  if (gauges_file_ && now >= next_gauges_) {
    next_gauges_ = now + observed_.run.log.every;
    gauges_file_->write(prometheus_text(gauges()));
    warn_of_trouble();
  }
  if (now >= next_record_ && records() && (!observed_.afresh || checkpoint_step_ >= 0))
    write_record();
}

void Usage::saved(std::int64_t step, double seconds) {
  if (!recording_) return;
  saving_ += seconds;
  gather();
  if (!writes_) return;
  attempts_.back().history.mark(step);
  checkpoint_step_ = step;
  checkpoint_time_ = wall_now();
  if (records()) write_record();
  if (gauges_file_) gauges_file_->write(prometheus_text(gauges()));
}

// Collective.
void Usage::gather() {
  RankUse mine;
  mine.times = observed_.times();
  mine.cores = cores_asked(observed_.run);
  mine.cpu = cpu_seconds();
  mine.wall = seconds_now() - program_start();
  if (const auto gpu = gpu_->use()) {
    mine.gpu_busy = gpu->busy;
    mine.gpu_peak = static_cast<double>(gpu->peak_bytes);
  }
  mine.memory = static_cast<double>(peak_resident_memory());
  const std::vector<std::byte> all =
      observed_.communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  if (!writes_) return;
  std::vector<RankUse> ranks(all.size() / sizeof(RankUse));
  std::memcpy(ranks.data(), all.data(), all.size());

  Attempt& now = attempts_.back();
  now.cores = now.cpu_seconds = now.cpu_wall = now.gpu_busy = now.gpu_peak = 0;
  now.bytes_loaded = now.bytes_sent = now.bytes_from_peers = 0;
  now.gpus = 0;
  now.peak_memory.clear();
  RankTimes sum;
  for (const RankUse& r : ranks) {
    now.cores += r.cores;
    now.cpu_seconds += r.cpu;
    now.cpu_wall = std::max(now.cpu_wall, r.wall);
    now.peak_memory.push_back(r.memory);
    now.bytes_loaded += static_cast<double>(r.times.bytes_loaded);
    now.bytes_sent += static_cast<double>(r.times.bytes_sent);
    now.bytes_from_peers += static_cast<double>(r.times.bytes_read);
    sum.compute += r.times.compute;
    sum.data += r.times.data;
    sum.exposed += r.times.exposed;
    sum.fold += r.times.fold;
    sum.other += r.times.other;
    if (r.gpu_busy < 0) continue;
    ++now.gpus;
    now.gpu_busy += r.gpu_busy;
    now.gpu_peak = std::max(now.gpu_peak, r.gpu_peak);
  }
  if (now.gpus > 0) now.gpu_busy /= static_cast<double>(now.gpus);
  const auto count = static_cast<double>(ranks.size());
  now.seconds["compute"] = sum.compute / count;
  now.seconds["waiting_for_data"] = sum.data / count;
  now.seconds["waiting_for_ranks"] = sum.exposed / count;
  now.seconds["folding"] = sum.fold / count;
  now.seconds["saving"] = saving_;
  now.seconds["other"] = std::max(0.0, sum.other / count - saving_);
}

void Usage::write_record() {
  const double now = seconds_now();
  next_record_ = now + kBetweenRecords;
  attempts_.back().updated = wall_now();
  record_file_->write(usage_json(attempts_));
  warn_of_trouble();
}

void Usage::warn_of_trouble() {
  for (BackgroundFile* file : {record_file_.get(), gauges_file_.get()}) {
    if (file == nullptr) continue;
    const std::string trouble = file->trouble();
    if (!trouble.empty()) log::warn("{}; the run goes on without it", trouble);
  }
}

RunGauges Usage::gauges() {
  RunGauges g;
  const double now = seconds_now();
  const RankTimes times = observed_.times();
  Attempt& attempt = attempts_.back();
  g.time = wall_now();
  if (!over_) attempt.updated = g.time;
  g.run = observed_.run.checkpoint.dir.empty() ? gauges_path_ : observed_.run.checkpoint.dir;
  g.job = attempt.slurm_job;
  g.step = attempt.history.last();
  g.total_steps = observed_.total_steps;
  g.epoch = std::max<std::int64_t>(0, g.step - 1) / observed_.steps_per_epoch + 1;
  g.samples = steps_done_ * observed_.run.train.batch;
  if (last_) {
    g.loss = observed_.loss(*last_);
    g.learning_rate = last_->learning_rate;
  }
  if (rate_steps_ > 0 && now > rate_since_) {
    rate_ = static_cast<double>(rate_steps_ * observed_.run.train.batch) / (now - rate_since_);
    rate_steps_ = 0;
    rate_since_ = now;
  }
  g.samples_per_second = rate_;
  g.seconds = {{"start", attempt.seconds["start"]},
               {"compute", times.compute},
               {"waiting_for_data", times.data},
               {"waiting_for_ranks", times.exposed},
               {"folding", times.fold},
               {"saving", saving_},
               {"other", std::max(0.0, times.other - saving_)}};
  g.memory = static_cast<double>(peak_resident_memory());
  if (checkpoint_step_ >= 0) {
    g.checkpoint_time = checkpoint_time_;
    g.checkpoint_step = checkpoint_step_;
  }
  g.attempts = static_cast<std::int64_t>(attempts_.size());
  g.goodput = goodput(attempts_).of_wall();
  const double wall = now - program_start();
  g.cores = wall > 0 ? cpu_seconds() / (wall * cores_asked(observed_.run)) : 0;
  if (const auto gpu = gpu_->use()) g.gpu = gpu->busy;
  return g;
}

std::vector<std::string> Usage::report() {
  if (!recording_) return {};
  gather();
  if (!writes_) return {};
  attempts_.back().updated = wall_now();
  return usage_lines(attempts_);
}

void Usage::finished(std::int64_t /*step*/, ExitCode code) {
  if (!recording_ || !writes_) return;
  over_ = true;
  attempts_.back().ended = observed_.ending();
  // As the end report says: report() was the last moment that counts.
  if (records()) record_file_->write(usage_json(attempts_));
  if (gauges_file_) {
    RunGauges last = gauges();
    last.running = false;
    last.exit_code = static_cast<int>(code);
    gauges_file_->write(prometheus_text(last));
  }
  for (BackgroundFile* file : {record_file_.get(), gauges_file_.get()}) {
    if (file != nullptr) file->finish();
  }
  warn_of_trouble();
}

}  // namespace lockstep::train
