// What a person sees while a run trains: on a terminal one line that is refreshed, in a log file a
// line every few seconds. Knows only the numbers that it is given; written by one rank.
#pragma once
#include <cstdint>
#include <cstdio>
#include <string>

namespace lockstep::train {

struct StepStatus {
  std::int64_t epoch = 0, epochs = 0;  // epochs: 0 if the run is not counted in epochs
  std::int64_t step = 0, steps = 0;    // done of the run, of how many (0: not known)
  std::int64_t epoch_step = 0, epoch_steps = 0;
  double loss = 0, lr = 0;
};

struct ProgressOptions {
  bool quiet = false;      // --quiet, or a rank that does not speak
  double log_every = 10;   // seconds between lines in a log file
  std::int64_t batch = 1;     // samples per step
  std::int64_t sequence = 0;  // tokens per sample; 0: samples are no text
};

class ProgressLine {
 public:
  // Writes to `out`: in terminal form if that is a terminal.
  explicit ProgressLine(const ProgressOptions& options, std::FILE* out = stdout);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // After every step. Costs one clock reading unless 0.1 s (terminal) or log_every have passed.
  void step(const StepStatus& status);
  // Removes the terminal's line, before something else is printed (a checkpoint's digest, say). The
  // next step draws it again.
  void clear();
  // Work that is no step (evaluation, saving) starts or ends here and is not counted as step time.
  void pause();
  void resume();
  // Prints the last status once more, in a form that stays.
  void finish();

  double samples_per_second() const { return rate_; }  // over the last seconds; 0 before the first

 private:
  void measure(const StepStatus& status, double now);
  std::string text(const StepStatus& status) const;
  void draw(const std::string& text);

  ProgressOptions options_;
  std::FILE* out_;
  bool terminal_;
  StepStatus last_;
  double next_ = 0;   // when to print again
  double since_ = 0;  // when the measured stretch began
  double paused_at_ = -1;
  std::int64_t since_step_ = -1;
  double rate_ = 0, step_seconds_ = 0;
  int drawn_ = 0;  // columns on the terminal's line now
};

}  // namespace lockstep::train
