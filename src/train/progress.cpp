#include "lockstep/train/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "lockstep/core/clock.h"
#include "lockstep/core/log.h"
#include "lockstep/core/units.h"

namespace lockstep::train {
namespace {

constexpr double kRefresh = 0.1;  // seconds; more often than this nobody sees
constexpr double kSmoothing = 2;  // seconds over which the rate on a terminal is averaged

int columns_of(std::FILE* out) {
  winsize size{};
  return ::ioctl(::fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

ProgressLine::ProgressLine(const ProgressOptions& options, std::FILE* out)
    : options_(options), out_(out), terminal_(log::is_terminal(out)), since_(seconds_now()) {
  next_ = since_ + (terminal_ ? kRefresh : options_.log_every);
}

ProgressLine::~ProgressLine() { clear(); }

void ProgressLine::step(const StepStatus& status) {
  if (since_step_ < 0) since_step_ = status.step - 1;
  last_ = status;
  const double now = seconds_now();
  if (now < next_) return;
  next_ = now + (terminal_ ? kRefresh : std::max(options_.log_every, kRefresh));
  measure(status, now);
  if (options_.quiet) return;
  if (terminal_) {
    draw(text(status));
  } else {
    fmt::print(out_, "{}\n", text(status));
    std::fflush(out_);
  }
}

void ProgressLine::measure(const StepStatus& status, double now) {
  const auto steps = static_cast<double>(status.step - since_step_);
  const double seconds = now - since_;
  if (steps <= 0 || seconds <= 0) return;
  // A log line tells of the time since the one before; the terminal's line is averaged to be still.
  const double keep = terminal_ && step_seconds_ > 0 ? 1 - std::min(1.0, seconds / kSmoothing) : 0;
  step_seconds_ = keep * step_seconds_ + (1 - keep) * seconds / steps;
  rate_ = static_cast<double>(options_.batch) / step_seconds_;
  since_ = now;
  since_step_ = status.step;
}

std::string ProgressLine::text(const StepStatus& s) const {
  const auto count = [](std::int64_t done, std::int64_t of) {
    return of > 0 ? fmt::format("{}/{}", done, of) : fmt::format("{}", done);
  };
  std::string text =
      fmt::format("epoch {}  step {}", count(s.epoch, s.epochs), count(s.step, s.steps));
  text += fmt::format("  loss {:.4g}  lr {:.3g}", s.loss, s.lr);
  if (rate_ > 0) {
    text += fmt::format("  {} samples/s", count_text(rate_));
    const auto sequence = static_cast<double>(options_.sequence);
    if (sequence > 0) text += fmt::format(", {} tokens/s", count_text(rate_ * sequence));
    const auto left = [&](std::int64_t of, std::int64_t done) {
      return seconds_text(static_cast<double>(std::max<std::int64_t>(0, of - done)) *
                          step_seconds_);
    };
    if (s.epoch_steps > 0)
      text += fmt::format("  left: epoch {}", left(s.epoch_steps, s.epoch_step));
    if (s.steps > 0) {
      text += fmt::format("{} run {}", s.epoch_steps > 0 ? "," : "  left:", left(s.steps, s.step));
    }
  }
  return text;
}

// Spaces, not escape sequences, wipe what a longer line left: any terminal understands them.
void ProgressLine::draw(const std::string& text) {
  const int width = std::min(static_cast<int>(text.size()), columns_of(out_) - 1);
  fmt::print(out_, "\r{}{:{}}", text.substr(0, width), "", std::max(0, drawn_ - width));
  std::fflush(out_);
  drawn_ = width;
}

void ProgressLine::clear() {
  if (drawn_ == 0) return;
  fmt::print(out_, "\r{:{}}\r", "", drawn_);
  std::fflush(out_);
  drawn_ = 0;
}

void ProgressLine::pause() {
  clear();
  if (paused_at_ < 0) paused_at_ = seconds_now();
}

void ProgressLine::resume() {
  if (paused_at_ >= 0) since_ += seconds_now() - paused_at_;
  paused_at_ = -1;
}

void ProgressLine::finish() {
  resume();
  if (since_step_ < 0) return;
  measure(last_, seconds_now());
  clear();
  if (!options_.quiet) {
    fmt::print(out_, "{}\n", text(last_));
    std::fflush(out_);
  }
  since_step_ = -1;
}

}  // namespace lockstep::train
