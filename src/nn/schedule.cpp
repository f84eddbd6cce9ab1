#include "nn/schedule.h"

#include <numeric>

namespace lockstep::nn {
namespace {

class SweepBuilder {
 public:
  SweepBuilder(std::vector<Sweep>& sweeps, std::vector<Schedule::When>& when, int first_time)
      : sweeps_(sweeps), when_(when), first_time_(first_time) {}

  void append(int i, const ops::Op& op) {
    if (op.slices() == 1) {
      open_ = false;
      join({i, Part::kWhole}, 1);
      when_[i] = {now(), now()};
      open_ = false;
      return;
    }
    // What a gather finds is needed before the op's first slice, so it ends a sweep.
    if (op.gathers()) {
      join({i, Part::kGather}, op.slices());
      when_[i].begin = now();
      open_ = false;
    }
    join({i, Part::kSlice}, op.slices());
    if (!op.gathers()) when_[i].begin = now();
    when_[i].end = now();
  }

  // An op alone gains nothing from slices.
  void finish() {
    for (Sweep& s : sweeps_) {
      if (s.stages.size() == 1) s.slices = 1;
    }
  }

 private:
  int now() const { return first_time_ + static_cast<int>(sweeps_.size()) - 1; }

  void join(Stage stage, std::int64_t finest) {
    const std::int64_t common = open_ ? std::gcd(sweeps_.back().slices, finest) : 1;
    if (common > 1) {
      sweeps_.back().slices = common;
    } else {
      sweeps_.push_back({finest, {}});
    }
    sweeps_.back().stages.push_back(stage);
    open_ = true;
  }

  std::vector<Sweep>& sweeps_;
  std::vector<Schedule::When>& when_;
  const int first_time_;
  bool open_ = false;
};

}  // namespace

std::int64_t Schedule::slices_at(int time) const {
  if (time == loss_time()) return 1;
  return time < loss_time() ? forward[time].slices : backward[time - loss_time() - 1].slices;
}

Schedule make_schedule(const Lowered& lowered, const std::vector<std::unique_ptr<ops::Op>>& ops) {
  const int n = static_cast<int>(ops.size());
  Schedule schedule;
  schedule.forward_when.resize(n);
  schedule.backward_when.resize(n);
  SweepBuilder forward(schedule.forward, schedule.forward_when, 0);
  for (int i = 0; i < n; ++i) forward.append(i, *ops[i]);
  forward.finish();
  SweepBuilder backward(schedule.backward, schedule.backward_when, schedule.loss_time() + 1);
  for (int i = n - 1; i >= 0; --i) {
    if (lowered.ops[i].needs_backward) backward.append(i, *ops[i]);
  }
  backward.finish();
  return schedule;
}

}  // namespace lockstep::nn
