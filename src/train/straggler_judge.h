// Which ranks are slow, from what all of them measured of themselves over a window of steps. Looks
// at the time of their own work for a lane, never at waiting: in lockstep all ranks' steps take
// equally long. Pure arithmetic: every rank that is given the same numbers says the same.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace lockstep::train {

struct RankWindow {
  std::int64_t lanes = 0;   // passes of a lane's microbatch; 0: this rank is not compared
  double data = 0;          // seconds of threads, to get samples
  double compute = 0;       // seconds of threads, forward and backward
  double threads = 1;       // that ran lanes at once
  double exposed = 0;       // seconds in which it waited for others
  double seconds = 0;       // of the window
  double sampled = 0;       // of some passes: compute ...
  double sampled_core = 0;  // ... and how long of it their threads had a core
};

enum class SlowAt : std::uint8_t { kData, kCompute, kCore };  // kCore: it had none for a while

struct Finding {
  int position = 0;
  bool slow = false;  // false: it no longer is
  SlowAt at = SlowAt::kCompute;
  double factor = 1;  // its time for a lane against the others'
  double core = -1;   // share of its compute in which it had a core; < 0: not measured
};

class StragglerJudge {
 public:
  // lanes_move: slow ranks are given fewer lanes, so that they wait as long as the others.
  StragglerJudge(int ranks, bool lanes_move) : ranks_(ranks), lanes_move_(lanes_move) {}

  // One entry for each position. A rank is slow when several windows in a row say so, and is so
  // until as many say the opposite; each change is found once.
  std::vector<Finding> judge(std::span<const RankWindow> window);

  static constexpr int kWindows = 3;

 private:
  struct Rank {
    bool named = false;
    int streak = 0;  // windows in a row against what is held of it
    double factor = 0, data = 0, compute = 0, sampled = 0, core = 0;  // summed over the streak
  };
  std::vector<Rank> ranks_;
  const bool lanes_move_;
};

}  // namespace lockstep::train
