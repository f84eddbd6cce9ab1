// Asks Slurm how long this job may still run, without waiting for it: squeue is started, and its
// answer picked up when it is there. Knows nothing of the run.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace lockstep::train {

// Seconds in what `squeue -o %L` prints: "5:07", "1:59:30", "2-03:04:05"; infinite for UNLIMITED;
// nullopt for anything else.
std::optional<double> parse_time_left(std::string_view text);

class TimeLeftQuery {
 public:
  TimeLeftQuery() = default;
  ~TimeLeftQuery();  // ends a squeue that still runs
  TimeLeftQuery(const TimeLeftQuery&) = delete;
  TimeLeftQuery& operator=(const TimeLeftQuery&) = delete;

  // Starts squeue, found along PATH. A system without it, or without an answer within kPatience,
  // is no error: there is never an answer.
  void ask(const std::string& job);
  bool asking() const { return child_ > 0; }
  // The answer, once. Costs a system call while squeue runs, else nothing.
  std::optional<double> answer();

  static constexpr double kPatience = 30;  // seconds; a slow controller can take ten

 private:
  void close();

  pid_t child_ = 0;
  int pipe_ = -1;
  double asked_ = 0;
};

}  // namespace lockstep::train
