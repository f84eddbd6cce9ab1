#include "nn/schedule.h"

#include <numeric>

namespace lockstep::nn {
namespace {

// Ops of one direction that follow one another.
class RunBuilder {
 public:
  RunBuilder(std::vector<Sweep>& sweeps, std::vector<Schedule::When>& when, int first_time,
             Direction direction)
      : sweeps_(sweeps), when_(when), first_time_(first_time), direction_(direction) {}

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

  // What comes next begins a sweep of its own.
  void close() { open_ = false; }

 private:
  int now() const { return first_time_ + static_cast<int>(sweeps_.size()) - 1; }

  void join(Stage stage, std::int64_t finest) {
    const std::int64_t common = open_ ? std::gcd(sweeps_.back().slices, finest) : 1;
    if (common > 1) {
      sweeps_.back().slices = common;
    } else {
      sweeps_.push_back({finest, direction_, {}});
    }
    sweeps_.back().stages.push_back(stage);
    open_ = true;
  }

  std::vector<Sweep>& sweeps_;
  std::vector<Schedule::When>& when_;
  const int first_time_;
  const Direction direction_;
  bool open_ = false;
};

// An op alone gains nothing from slices.
void join_lone_slices(std::vector<Sweep>& sweeps) {
  for (Sweep& s : sweeps) {
    if (s.stages.size() == 1) s.slices = 1;
  }
}

}  // namespace

std::int64_t Schedule::slices_at(int time) const {
  if (time == loss_time()) return 1;
  return time < loss_time() ? forward[time].slices : backward[time - loss_time() - 1].slices;
}

Schedule make_schedule(const Lowered& lowered, const std::vector<std::unique_ptr<ops::Op>>& ops,
                       const std::vector<bool>& again) {
  const int n = static_cast<int>(ops.size());
  Schedule schedule;
  for (auto& when : schedule.when) when.resize(n);
  const auto run = [&](std::vector<Sweep>& sweeps, int first_time, Direction direction) {
    return RunBuilder(sweeps, schedule.when[static_cast<int>(direction)], first_time, direction);
  };
  RunBuilder forward = run(schedule.forward, 0, Direction::kForward);
  for (int i = 0; i < n; ++i) forward.append(i, *ops[i]);
  join_lone_slices(schedule.forward);
  const int after_loss = schedule.loss_time() + 1;
  RunBuilder repeat = run(schedule.backward, after_loss, Direction::kAgain);
  RunBuilder backward = run(schedule.backward, after_loss, Direction::kBackward);
  const auto block = [&](int i) { return lowered.ops[i].block; };
  for (int i = n - 1; i >= 0; --i) {
    if (block(i) > 0 && (i == n - 1 || block(i + 1) != block(i))) {
      int first = i;
      while (first > 0 && block(first - 1) == block(i)) --first;
      for (int k = first; k <= i; ++k) {
        if (!again[k]) continue;
        backward.close();
        repeat.append(k, *ops[k]);
      }
      repeat.close();
    }
    if (lowered.ops[i].needs_backward) backward.append(i, *ops[i]);
  }
  join_lone_slices(schedule.backward);
  return schedule;
}

}  // namespace lockstep::nn
