// Who of a node runs which of its lanes in a step. Each stream owns a run of lanes and takes them
// from the left; where lanes may be taken over, a stream that has none left takes one from the
// right of the stream that has most. Claims are atomic words in the shared window, which a new step
// makes whole again without a barrier. Knows nothing of sums.
#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "lane_dealer.h"
#include "node_memory.h"
#include "step_program.h"

namespace lockstep::comm {

// What a stream is to do next.
struct Claim {
  std::int64_t lane = -1;
  bool own = true;
  int taken = 0;  // not own: how many this stream has taken over before in this step
};

class LaneClaims {
 public:
  LaneClaims(const FoldPlan& plan, const NodeMemory& memory);

  // Streams may call at the same time, each for itself.
  Claim next(int stream);
  // The nanoseconds of a lane that this rank has run; before the lane's last push.
  void measured(std::int64_t lane, std::int64_t nanoseconds);
  // Of a lane of the node in this step, when it has been run.
  const LaneTime& time(std::int64_t lane) const { return state(lane).time[step_ & 1]; }
  // When all lanes of the node are claimed, and everything that says so can be seen: the node's
  // partial sums in lane order, as a program and as addresses of element 0 of the flat buffer.
  void find_sources(StepProgram& program, std::vector<const float*>& sources);
  // All lanes of the node have been run and measured. Deals anew if that is worth it.
  void end_step();
  // Before the first step: every lane stays with its home.
  void keep();

  int peer_sources() const { return peer_sources_; }  // of find_sources(): how many lie with peers
  std::int64_t lanes_run() const;                     // by this rank, in all
  std::int64_t lanes_taken() const;                   // of those, from others
  std::int64_t deals() const { return dealer_ ? dealer_->deals() : 0; }

 private:
  void deal();
  LaneState& state(std::int64_t lane) const;
  std::int64_t take(int local, int stream, bool left);
  std::int64_t unclaimed(int local, int stream) const;
  const LaneRange& owned(int local, int stream) const {
    return owned_[local * plan_.layout.streams + stream];
  }

  const FoldPlan& plan_;
  const NodeMemory& memory_;
  const int local_, locals_;
  const LaneRange node_;
  int extra_;
  std::optional<LaneDealer> dealer_;
  std::vector<LaneRange> owned_;           // local rank, stream
  std::vector<int> home_;                  // lane of the node -> local rank
  std::vector<std::int64_t> nanoseconds_;  // scratch
  std::uint32_t step_ = 1;
  int peer_sources_ = 0;
  struct alignas(64) StreamState {
    int taken = 0;  // in this step
    std::int64_t run = 0, taken_in_all = 0;
  };
  std::vector<StreamState> streams_;
};

}  // namespace lockstep::comm
