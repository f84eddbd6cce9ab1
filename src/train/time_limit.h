// When a run has to be over, and how long before that it has to stop: at a time of its own, or when
// its Slurm job ends, which can be moved while it runs. Asked by one rank; knows nothing of steps.
#pragma once
#include <string>

#include "train/time_left.h"

namespace lockstep::train {

double program_start();  // on the clock of seconds_now()

class TimeLimit {
 public:
  // limit: seconds from the program's start; 0: none; -1: the job's, by SLURM_JOB_END_TIME and
  // squeue. stop_before: seconds.
  TimeLimit(double limit, double stop_before);

  // What the run has taken: from one look at the clock to the end of the work that it decides on,
  // and for a checkpoint. The longest of each counts.
  void took_work(double seconds);
  void took_save(double seconds);

  // Whether to stop now. Costs a reading of the clock.
  bool due();
  bool was_due() const { return was_due_; }
  // Waits a moment for Slurm's first answer.
  void wait_for_answer();
  // What has become known of the limit since the last call, as a sentence; mostly nothing.
  std::string news();

 private:
  void look_at_job(double now);
  void set_end(double end, double now, const char* source);
  double margin() const;

  const double stop_before_;
  std::string job_;  // asked about; empty: nobody is asked
  TimeLeftQuery query_;
  double end_;  // infinite: no limit is known
  const char* source_ = "";
  double asked_part_ = 0;  // of stop_before, what the limit leaves room for
  double told_ = 0;        // the end that news() has told of
  double next_question_ = 0, next_look_ = 0, last_due_ = -1;
  bool was_due_ = false;
  double longest_pause_ = 0, longest_work_ = 0, longest_save_ = 0;
};

}  // namespace lockstep::train
