#include "train/usage_record.h"

#include <algorithm>
#include <limits>

#include "lockstep/core/error.h"
#include "lockstep/core/units.h"

namespace lockstep::train {
namespace {

constexpr std::size_t kMarks = 64;  // that an attempt keeps; a run goes on from the newest ones

}  // namespace

double StepHistory::seconds_until(std::int64_t step) const {
  if (step <= first()) return 0;
  if (step >= last()) return seconds();
  const auto after = std::ranges::upper_bound(marks_, step, {}, &Mark::step);
  const Mark& before = *(after - 1);
  return before.seconds + (after->seconds - before.seconds) *
                              static_cast<double>(step - before.step) /
                              static_cast<double>(after->step - before.step);
}

void StepHistory::add(std::int64_t step, std::int64_t steps, double seconds) {
  const std::int64_t begin = step - steps;
  if (begin < last()) {
    lost_ += last() - std::max(begin, first());
    const Mark at{begin, seconds_until(begin)};
    while (!marks_.empty() && marks_.back().step >= begin) marks_.pop_back();
    marks_.push_back(at);
    marked_ = true;
  }
  const Mark now{step, this->seconds() + seconds};
  if (marked_) {
    marks_.push_back(now);
  } else {
    marks_.back() = now;
  }
  marked_ = false;
}

void StepHistory::mark(std::int64_t step) {
  if (step == last()) marked_ = true;
  const auto after = std::ranges::lower_bound(marks_, step, {}, &Mark::step);
  if (step > first() && step < last() && after->step != step)
    marks_.insert(after, {step, seconds_until(step)});
  if (marks_.size() < kMarks) return;
  // Every other one of the older half goes.
  std::vector<Mark> kept;
  for (std::size_t i = 0; i < marks_.size(); ++i) {
    if (i >= marks_.size() / 2 || i % 2 == 0) kept.push_back(marks_[i]);
  }
  marks_ = std::move(kept);
}

StepHistory StepHistory::restored(std::vector<Mark> marks, std::int64_t lost) {
  StepHistory history;
  if (!marks.empty()) history.marks_ = std::move(marks);
  history.lost_ = lost;
  return history;
}

double Attempt::cpu_part() const {
  return cores > 0 && cpu_wall > 0 ? cpu_seconds / (cores * cpu_wall) : 0;
}

// An attempt's steps count up to where a later one began.
Goodput goodput(std::span<const Attempt> attempts) {
  Goodput sum;
  if (attempts.empty()) return sum;
  std::int64_t until = std::numeric_limits<std::int64_t>::max();
  for (auto a = attempts.rbegin(); a != attempts.rend(); ++a) {
    const std::int64_t last = a->history.last(), counted = std::min(last, until);
    sum.useful += a->history.seconds_until(counted);
    sum.lost += a->history.lost() + last - std::max(counted, a->history.first());
    sum.running += std::max(0.0, a->updated - a->started);
    until = std::min(until, a->history.first());
  }
  sum.wall = attempts.back().updated - attempts.front().started;
  return sum;
}

std::vector<std::string> usage_lines(std::span<const Attempt> attempts) {
  if (attempts.empty()) return {};
  const Goodput good = goodput(attempts);
  std::string line =
      fmt::format("goodput {:.1f} %: {} of {} went into steps that count", 100 * good.of_wall(),
                  seconds_text(good.useful), seconds_text(good.wall));
  if (attempts.size() > 1)
    line += fmt::format("; {} attempts, {:.1f} % while they ran", attempts.size(),
                        100 * good.of_running());
  if (good.lost > 0) line += fmt::format("; {} step{} lost", good.lost, good.lost == 1 ? "" : "s");
  std::vector<std::string> lines{line};
  const Attempt& now = attempts.back();
  if (now.cpu_wall <= 0) return lines;
  line = fmt::format("cores {:.1f} % busy of {:.0f} asked for", 100 * now.cpu_part(), now.cores);
  if (now.gpus > 0)
    line += fmt::format("; GPUs {:.1f} % busy of {}, {} in use at most", 100 * now.gpu_busy,
                        now.gpus, bytes_text(now.gpu_peak));
  if (!now.peak_memory.empty())
    line += fmt::format("; memory {} a rank at most",
                        bytes_text(*std::ranges::max_element(now.peak_memory)));
  lines.push_back(line);
  return lines;
}

std::filesystem::path usage_path(const std::filesystem::path& dir) { return dir / "usage.json"; }

}  // namespace lockstep::train
