#include "plan/simulate_failures.h"

#include <algorithm>
#include <cmath>

#include "lockstep/core/philox.h"

namespace lockstep::plan {
namespace {

constexpr std::uint32_t kFailureOp = 3;
// A run that fails so often without going on is given up.
constexpr int kFailuresWithoutProgress = 10000;

class Player {
 public:
  explicit Player(const Endurance& run) : run_(run), each_(run.step + run.between) {
    if (run.node_mtbf > 0) mtbf_ = run.node_mtbf / static_cast<double>(run.nodes);
    draw();
  }

  Endured play() {
    int without_progress = 0;
    while (saved_ < run_.steps) {
      const std::int64_t before = saved_;
      segment();
      without_progress = saved_ > before ? 0 : without_progress + 1;
      if (without_progress > kFailuresWithoutProgress) {
        endured_.ends = false;
        break;
      }
    }
    endured_.seconds = now_;
    endured_.useful = run_.step * static_cast<double>(saved_);
    return std::move(endured_);
  }

 private:
  RandomKey key() const { return {run_.seed, 0, 0, kFailureOp}; }
  void draw() {
    if (mtbf_ <= 0) return;
    next_failure_ = now_ - mtbf_ * std::log(unit_interval(key().word(drawn_++)));
  }

  // Steps up to the next checkpoint, and it; what an earlier one still writes goes on meanwhile.
  void segment() {
    const std::int64_t interval = run_.interval > 0 ? run_.interval : run_.steps;
    const std::int64_t to = std::min(run_.steps, done_ + interval);
    const double begin = now_;
    const double work = static_cast<double>(to - done_) * each_;
    // A checkpoint begins when the one before is whole.
    double at = std::max(begin + work, whole_at_);
    if (fails_before(at)) return;
    settle(at);
    now_ = at;
    done_ = to;
    pending_ = to;
    whole_at_ = at + run_.writing;
    const double resumed = to == run_.steps ? whole_at_ : at + run_.pause;
    if (fails_before(std::min(resumed, whole_at_))) return;
    now_ = resumed;
    settle(now_);
  }

  // A checkpoint that is whole by then counts.
  void settle(double time) {
    if (pending_ > saved_ && whole_at_ <= time) saved_ = pending_;
  }

  bool fails_before(double time) {
    if (mtbf_ <= 0 || next_failure_ >= time) return false;
    const double at = next_failure_;
    settle(at);
    SimulatedFailure failure;
    failure.at = at;
    failure.node = static_cast<std::int64_t>(unit_interval(key().word(drawn_++)) *
                                             static_cast<double>(run_.nodes));
    const double since = std::max(0.0, at - now_);
    failure.step = std::min(run_.steps, done_ + static_cast<std::int64_t>(since / each_));
    failure.lost = since + static_cast<double>(done_ - saved_) * each_;
    failure.restart = run_.restart;
    done_ = pending_ = saved_;
    now_ = at;
    // One more may come while the run restarts.
    draw();
    while (next_failure_ < now_ + run_.restart) {
      failure.restart += next_failure_ - now_;
      now_ = next_failure_;
      draw();
    }
    now_ += run_.restart;
    whole_at_ = 0;
    endured_.failures.push_back(failure);
    return true;
  }

  const Endurance& run_;
  const double each_;
  double mtbf_ = 0, now_ = 0, next_failure_ = 0, whole_at_ = 0;
  std::int64_t done_ = 0, saved_ = 0, pending_ = 0;
  std::uint64_t drawn_ = 0;
  Endured endured_;
};

}  // namespace

Endured endure(const Endurance& run) { return Player(run).play(); }

double expected_goodput(double interval, double checkpoint, double restart, double mtbf) {
  if (mtbf <= 0) return interval / (interval + checkpoint);
  return interval / (mtbf * std::exp(restart / mtbf) * std::expm1((interval + checkpoint) / mtbf));
}

}  // namespace lockstep::plan
