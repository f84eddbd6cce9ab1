// What a run has used, attempt by attempt: usage.json beside the checkpoints. An attempt is one
// start of the program; steps of it count if they are part of the run's history as it ended, so
// steps that were done again count once. Knows no communicator; times of day are seconds since
// 1970.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace lockstep::train {

// Steps of one attempt that count, and the seconds that went into them.
class StepHistory {
 public:
  StepHistory() = default;
  explicit StepHistory(std::int64_t first) : marks_{{first, 0}} {}

  // Steps (step - steps, step] were done. What was done from there on before counts no longer.
  void add(std::int64_t step, std::int64_t steps, double seconds);
  // A run may go on later from this step, which lies behind: the seconds up to it are kept. Between
  // such steps they are interpolated.
  void mark(std::int64_t step);

  std::int64_t first() const { return marks_.front().step; }
  std::int64_t last() const { return marks_.back().step; }
  double seconds() const { return marks_.back().seconds; }
  double seconds_until(std::int64_t step) const;
  std::int64_t lost() const { return lost_; }  // steps that count no longer

  struct Mark {
    std::int64_t step = 0;
    double seconds = 0;  // of the steps up to it
  };
  // As they are stored; the last one is where the attempt stands.
  const std::vector<Mark>& marks() const { return marks_; }
  static StepHistory restored(std::vector<Mark> marks, std::int64_t lost);

 private:
  std::vector<Mark> marks_{{}};
  std::int64_t lost_ = 0;
  bool marked_ = true;  // the last one stays
};

struct Attempt {
  double started = 0;  // of the program
  double updated = 0;  // these figures; of an attempt that is over: its end
  std::string ended;   // "" while it runs; then "done", "USR1", "the time limit", "killed", ...
  std::vector<std::string> hosts;
  std::int64_t ranks = 0, threads = 0;
  std::string slurm_job;  // empty: none
  StepHistory history;

  std::map<std::string, double> seconds;  // by kind, the mean over ranks: "compute", "saving", ...
  double cores = 0;                       // asked for
  double cpu_seconds = 0, cpu_wall = 0;   // of all ranks together; the time in which they were used
  std::int64_t gpus = 0;                  // ranks with one that can be asked
  double gpu_busy = 0;                    // 0 to 1, mean over them and over time
  double gpu_peak = 0;                    // bytes of the fullest one
  std::vector<double> peak_memory;        // resident bytes by position
  double bytes_loaded = 0, bytes_sent = 0, bytes_from_peers = 0;

  double cpu_part() const;  // of what was asked for; 0 if nothing is known
};

struct Goodput {
  double useful = 0;   // seconds in steps that count
  double wall = 0;     // from the first start to the last end, with all that lay between attempts
  double running = 0;  // in attempts, as far as they have told
  std::int64_t lost = 0;
  double of_wall() const { return wall > 0 ? useful / wall : 0; }
  double of_running() const { return running > 0 ? useful / running : 0; }
};
Goodput goodput(std::span<const Attempt> attempts);

std::string usage_json(std::span<const Attempt> attempts);
// Throws UserError naming `name` if the text is no such record.
std::vector<Attempt> parse_usage(const std::string& text, const std::string& name);
// Lines for the end of a run: goodput, and of the last attempt what it used.
std::vector<std::string> usage_lines(std::span<const Attempt> attempts);

std::filesystem::path usage_path(const std::filesystem::path& dir);

}  // namespace lockstep::train
