// Plays the exchange of this program: docs/parallelism.md, in simulated seconds. Ranks are actors
// that compute up to the next edge of a bucket, look what there is to add or to send, and wait when
// they have computed all. On a processor they add between their ops, on a device beside them.
#pragma once
#include <limits>
#include <map>
#include <memory>
#include <queue>
#include <vector>

#include "plan/rank_work.h"
#include "plan/simulate_lanes_plan.h"
#include "plan/simulate_network.h"
#include "plan/simulate_step.h"

namespace lockstep::plan {

enum class What : std::uint8_t { kEdge, kLook, kPieces, kResults };
struct Event {
  double time;
  std::uint64_t sequence;
  std::int64_t rank, tick;
  What what;
  bool operator>(const Event& other) const {
    return time != other.time ? time > other.time : sequence > other.sequence;
  }
};

inline constexpr double kNever = std::numeric_limits<double>::infinity();

// Of a tick: how many have come, when the first and the last did.
struct Gathered {
  std::int64_t count = 0;
  double first = kNever, last = 0;
  void add(double from, double to) {
    ++count;
    first = std::min(first, from);
    last = std::max(last, to);
  }
};

enum class Doing : std::uint8_t { kNothing, kMerge, kPart, kShard, kReturn };
struct Actor {
  std::int64_t next = 0;          // tick that it completes next
  double computed = 0;            // of its schedule
  double waits_since = -1;        // on a processor: nothing to do
  double busy_until = 0;          // adding, sending
  Doing doing = Doing::kNothing;  // until then
  std::int64_t parts = 0, shards = 0, returns = 0;
  double computing_ends = 0, finished = -1;
  bool merged = false;
};

class LanesPlayer final : public StepPlayer {
 public:
  LanesPlayer(const Job& job, const Machine& machine, const Layout& layout, std::int64_t played);

  void play(StepPlay& step, std::int64_t number) override {
    if ((number + 1) % every_ == 0) {
      exchange(step);
    } else {
      alone(step);
    }
  }
  double bytes_sent(std::int64_t rank) const override;
  double bytes_read(std::int64_t rank) const override;

 private:
  std::int64_t node_of(std::int64_t rank) const { return rank / plan_.layout.ranks_per_node; }
  std::int64_t local_of(std::int64_t rank) const { return rank % plan_.layout.ranks_per_node; }
  std::int64_t first_of(std::int64_t node) const { return node * plan_.layout.ranks_per_node; }
  Gathered& at(std::vector<Gathered>& all, std::int64_t row, std::int64_t tick) const {
    return all[row * ticks_ + tick];
  }
  // Trackers of parts are kept for whole nodes and for a last one that has fewer ranks.
  std::int64_t part_row(std::int64_t node, std::int64_t local) const {
    return (is_short(node) ? plan_.layout.ranks_per_node : 0) + local;
  }
  bool is_short(std::int64_t node) const { return plan_.locals(node) < plan_.locals(0); }

  void begin(StepPlay& step);
  void exchange(StepPlay& step);
  void alone(StepPlay& step);
  void push(double time, What what, std::int64_t rank, std::int64_t tick = 0) {
    queue_.push({time, sequence_++, rank, tick, what});
  }
  void wake_node(std::int64_t node, double time) {
    for (std::int64_t l = 0; l < plan_.locals(node); ++l) wake(first_of(node) + l, time);
  }
  void wake(std::int64_t rank, double time) {
    if (beside_ || actors_[rank].waits_since >= 0) push(time, What::kLook, rank);
  }
  void edge(std::int64_t rank, double time);
  void look(std::int64_t rank, double time);
  bool act(std::int64_t rank, double time);
  void acted(std::int64_t rank, double time);
  bool computes(std::int64_t rank, double time);
  void part_is_folded(std::int64_t rank, std::int64_t tick, double time);
  void shard_is_summed(std::int64_t rank, std::int64_t tick, double time);
  void is_back(std::int64_t rank, std::int64_t tick, double time);
  void begin_action(std::int64_t rank, double time, Doing doing, double folding, double sending,
                    const char* what, std::int64_t tick);
  void end_step(StepPlay& step);
  void make_schedules();
  std::int64_t busy() const;
  double update_seconds(const RankStep& rank) const;
  double flat_bytes() const;
  double to_all_seconds(double bytes) const;
  void bring_parameters();

  const Job& job_;
  const Machine& machine_;
  LanesPlan plan_;
  Link in_node_, between_;
  double flag_;
  bool beside_;  // additions do not hold up computing
  std::int64_t every_;
  RankWork work_;
  double slower_ = 1;  // what an op takes, of what cost.h says of it
  std::map<std::int64_t, Schedule> schedule_of_lanes_;
  std::vector<const Schedule*> schedules_;  // by rank
  double gathered_ = 0, gathered_bytes_ = 0;

  // Of the step that is played.
  StepPlay* step_ = nullptr;
  std::int64_t ticks_ = 0;
  std::vector<Actor> actors_;
  std::vector<Gathered> ready_, folded_, back_;  // by node, tick
  std::vector<Gathered> pieces_, results_;       // by part_row, tick
  std::vector<std::int64_t> senders_, owners_;   // how many there are, by part_row
  std::vector<Gathered> owned_;                  // by rank, tick: parts whose pieces have come
  std::vector<std::uint8_t> pieces_here_, results_here_;  // by rank, tick
  std::unique_ptr<Network> network_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> queue_;
  std::uint64_t sequence_ = 0;
};

}  // namespace lockstep::plan
