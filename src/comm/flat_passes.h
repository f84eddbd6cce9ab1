// Where a node holds only its shards: brings the ranges of one use after the other into two places
// of the node's memory in turn, one use ahead of the reading. Owners send, the ranks of a node
// receive or copy a share each. A place is overwritten when all ranks of the node have released it.
#pragma once
#include <vector>

#include "flat_memory.h"
#include "flat_messages.h"

namespace lockstep::comm {

class FlatPasses {
 public:
  // messages: MPI_COMM_NULL on one node. Keeps references to plan and memory.
  FlatPasses(MPI_Comm messages, const FlatPlan& plan, const FlatLayout& layout,
             const FlatMemory& memory);

  void begin(int uses);
  // The steps of SharedFlat::hold(): wait until here(), then held().
  bool here(int use) const;
  void held(int use, const float** out);
  void release(int use);
  bool all_released() const { return released_ == uses_; }
  bool sent();  // all that was started
  void end();   // all_released() and sent()
  void progress();
  // Messages of this rank are under way.
  bool flying() const { return brought_ < wanted_ || sent_ < started_; }
  std::int64_t bytes_sent() const { return bytes_sent_; }

 private:
  bool place_is_free(int use) const;
  void bring(int use);

  const FlatPlan& plan_;
  const FlatMemory& memory_;
  const int local_;
  std::vector<std::vector<const float*>> addresses_;  // use, range
  std::vector<MessageGroup> sends_, receives_;        // by use
  std::int64_t passed_ = 0;                           // uses of all passes before this one
  std::int64_t last_in_place_[2] = {0, 0};            // passed + uses, up to the last one there
  // Of this pass, in order: uses that may be brought; of which sends were started, done; of which
  // this rank's receives were started, and its share is here; released by this rank.
  int uses_ = 0, wanted_ = 0, started_ = 0, sent_ = 0, posted_ = 0, brought_ = 0, released_ = 0;
  std::int64_t bytes_sent_ = 0;
};

}  // namespace lockstep::comm
