// The messages between nodes while lanes go in rounds: pieces of the nodes' partial sums of a
// bucket of a round, straight to the owners of its shards. Two ticks may be under way. Requests are
// planned once, and rounds of one shape share them.
#pragma once
#include <mpi.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "exchange.h"
#include "flat_messages.h"
#include "pages.h"
#include "round_memory.h"

namespace lockstep::comm {

class RoundExchange {
 public:
  RoundExchange(MPI_Comm communicator, const RoundPlan& plan, const RoundMemory& memory);

  // Each in the order of ticks.
  void receive(int tick) { messages(tick).receives.start(kText, plan_.bucket_of(tick)); }
  bool here(int tick) { return messages(tick).receives.done(); }
  void send(int tick);
  bool sent(int tick) { return messages(tick).sends.done(); }

  // What `position` has of this rank's shard of the tick's bucket, at its owner.
  Piece piece_in(int tick, int position) const;
  // What this rank has of the shard of `position`.
  Piece piece_out(int tick, int position) const;
  std::int64_t bytes_sent_since_last() { return std::exchange(bytes_sent_, 0); }

 private:
  static constexpr const char* kText = "leaves of bucket";
  struct Messages {
    MessageGroup receives, sends;
  };
  Messages& messages(int tick) {
    return messages_[(plan_.rounds[plan_.round_of(tick)].shape * plan_.buckets() +
                      plan_.bucket_of(tick)) *
                         2 +
                     tick % 2];
  }
  void plan_messages(int tick, Messages& messages);

  MPI_Comm communicator_;
  const RoundPlan& plan_;
  const RoundMemory& memory_;
  Pages inbox_;  // for even and odd ticks
  std::unique_ptr<Messages[]> messages_;
  std::int64_t bytes_sent_ = 0;
};

}  // namespace lockstep::comm
