#include "lane_claims.h"

#include "lockstep/core/error.h"

namespace lockstep::comm {
namespace {

// A stream's lanes that nobody has claimed, [left, right) of those that it owns. A word of an older
// step stands for all of them.
struct Unclaimed {
  std::uint32_t step = 0;
  std::uint16_t left = 0, right = 0;

  static Unclaimed of(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint16_t>(word >> 16),
            static_cast<std::uint16_t>(word)};
  }
  std::uint64_t word() const {
    return std::uint64_t{step} << 32 | std::uint64_t{left} << 16 | right;
  }
};

// A rank that asks late may find that its peers have begun the next step: then all lanes of this
// one have been run.
Unclaimed at_step(std::uint64_t word, std::uint32_t step, const LaneRange& owned) {
  const Unclaimed u = Unclaimed::of(word);
  if (u.step == step) return u;
  if (u.step == step + 1) return {step, 0, 0};
  return {step, 0, static_cast<std::uint16_t>(owned.size())};
}

std::uint64_t place_word(std::uint32_t step, int local, int slot) {
  return std::uint64_t{step} << 32 | static_cast<std::uint64_t>(local) << 16 |
         static_cast<std::uint64_t>(slot);
}

}  // namespace

LaneClaims::LaneClaims(const FoldPlan& plan, const NodeMemory& memory)
    : plan_(plan),
      memory_(memory),
      local_(plan.topology.local()),
      locals_(plan.topology.local_ranks()),
      node_(plan.node_lanes()),
      extra_(plan.moves.extra),
      owned_(static_cast<std::size_t>(locals_) * plan.layout.streams),
      nanoseconds_(node_.size()),
      streams_(plan.layout.streams) {
  std::vector<std::int64_t> loads;
  for (int l = 0; l < locals_; ++l) {
    loads.push_back(plan.stores[l].lanes.size());
    home_.insert(home_.end(), plan.stores[l].lanes.size(), l);
    for (int s = 0; s < plan.layout.streams; ++s)
      owned_[l * plan.layout.streams + s] = plan.stores[l].streams[s].lanes;
  }
  if (plan.layout.dealing == Dealing::kMeasured)
    dealer_.emplace(std::move(loads), plan.layout.streams, plan.moves.most_lanes);
}

LaneState& LaneClaims::state(std::int64_t lane) const {
  const int home = home_[lane - node_.begin];
  return memory_.lane_states(home)[lane - plan_.stores[home].lanes.begin];
}

std::int64_t LaneClaims::unclaimed(int local, int stream) const {
  const Unclaimed u = at_step(memory_.claims(local)[stream].word.load(std::memory_order_relaxed),
                              step_, owned(local, stream));
  return u.right - u.left;
}

std::int64_t LaneClaims::take(int local, int stream, bool left) {
  std::atomic<std::uint64_t>& word = memory_.claims(local)[stream].word;
  const LaneRange& lanes = owned(local, stream);
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  while (true) {
    Unclaimed u = at_step(seen, step_, lanes);
    if (u.left == u.right) return -1;
    const std::int64_t lane = lanes.begin + (left ? u.left++ : --u.right);
    // What goes with a lane is published by its pushes; a claim has only to be the only one.
    if (word.compare_exchange_weak(seen, u.word(), std::memory_order_relaxed)) return lane;
  }
}

Claim LaneClaims::next(int stream) {
  StreamState& mine = streams_[stream];
  if (const std::int64_t lane = take(local_, stream, true); lane >= 0) {
    ++mine.run;
    return {lane, true, 0};
  }
  while (mine.taken < extra_) {
    int local = -1, from = -1;
    std::int64_t most = 0;
    for (int l = 0; l < locals_; ++l) {
      for (int s = 0; s < plan_.layout.streams; ++s) {
        if (const std::int64_t n = unclaimed(l, s); n > most) most = n, local = l, from = s;
      }
    }
    if (most == 0) break;
    const std::int64_t lane = take(local, from, false);
    if (lane < 0) continue;  // somebody was quicker
    const Claim claim{lane, false, mine.taken++};
    state(lane).taken.store(place_word(step_, local_, plan_.moves.taken_slot(stream, claim.taken)),
                            std::memory_order_relaxed);
    ++mine.run;
    ++mine.taken_in_all;
    return claim;
  }
  return {};
}

void LaneClaims::measured(std::int64_t lane, std::int64_t nanoseconds) {
  state(lane).time[step_ & 1] = {nanoseconds, plan_.topology.position};
}

void LaneClaims::find_sources(StepProgram& program, std::vector<const float*>& sources) {
  program.clear();
  sources.clear();
  peer_sources_ = 0;
  const auto add = [&](const Node& node, int local, int slot) {
    program.add(node);
    sources.push_back(memory_.slot(local, slot));
    peer_sources_ += local == local_ ? 0 : 1;
  };
  for (int l = 0; l < locals_; ++l) {
    for (int s = 0; s < plan_.layout.streams; ++s) {
      const LaneRange& lanes = owned(l, s);
      const Unclaimed u =
          at_step(memory_.claims(l)[s].word.load(std::memory_order_relaxed), step_, lanes);
      LOCKSTEP_CHECK(u.left == u.right, "a lane of local rank {} was not claimed", l);
      LaneRange own{lanes.begin, lanes.begin + u.left};
      for (int slot = plan_.moves.first_slot(s); own.size() > 0; ++slot) {
        const Node node = first_canonical(own, plan_.layout.lanes);
        add(node, l, slot);
        own.begin = node.end(plan_.layout.lanes);
      }
      for (std::int64_t lane = own.end; lane < lanes.end; ++lane) {
        const std::uint64_t place = state(lane).taken.load(std::memory_order_relaxed);
        LOCKSTEP_CHECK(place >> 32 == step_, "nobody has lane {}", lane);
        add({0, lane}, static_cast<int>(place >> 16 & 0xffff), static_cast<int>(place & 0xffff));
      }
    }
  }
  program.end();
}

void LaneClaims::end_step() {
  if (dealer_) {
    for (std::int64_t lane = node_.begin; lane < node_.end; ++lane)
      nanoseconds_[lane - node_.begin] = time(lane).nanoseconds;
    if (dealer_->measured(nanoseconds_)) deal();
  }
  ++step_;
  for (StreamState& s : streams_) s.taken = 0;
}

// Within a step, so nothing is allocated.
void LaneClaims::deal() {
  const int streams = plan_.layout.streams;
  std::int64_t begin = node_.begin;
  for (int l = 0; l < locals_; ++l) {
    const std::int64_t load = dealer_->loads()[l];
    for (int s = 0; s < streams; ++s)
      owned_[l * streams + s] = {begin + load * s / streams, begin + load * (s + 1) / streams};
    begin += load;
  }
}

void LaneClaims::keep() {
  dealer_.reset();
  extra_ = 0;
}

std::int64_t LaneClaims::lanes_run() const {
  std::int64_t run = 0;
  for (const StreamState& s : streams_) run += s.run;
  return run;
}

std::int64_t LaneClaims::lanes_taken() const {
  std::int64_t taken = 0;
  for (const StreamState& s : streams_) taken += s.taken_in_all;
  return taken;
}

}  // namespace lockstep::comm
