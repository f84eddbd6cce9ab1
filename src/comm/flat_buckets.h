// Once a step: every rank's shards become visible to its node and, where each node holds all
// parameters, to the others. publish() and progress() never wait.
#pragma once
#include <vector>

#include "flat_memory.h"
#include "flat_messages.h"

namespace lockstep::comm {

class FlatBuckets {
 public:
  // messages: MPI_COMM_NULL on one node. Keeps references to plan and memory.
  FlatBuckets(MPI_Comm messages, const FlatPlan& plan, const FlatMemory& memory);

  void publish(int bucket);
  void progress();
  bool here(int bucket) const;  // all of it, on this node
  bool sent();                  // all that was published
  void end_step();              // all buckets are here and sent
  // Messages of this rank are under way.
  bool flying() const { return begun_ && (arrived_ < published_ || sent_ < published_); }
  bool published(int bucket) const { return begun_ && bucket < published_; }
  std::int64_t bytes_sent() const { return bytes_sent_; }

 private:
  const FlatPlan& plan_;
  const FlatMemory& memory_;
  const int local_;
  std::vector<MessageGroup> sends_, receives_;  // by bucket
  bool begun_ = false;
  std::int64_t round_ = 0;                      // of the step that is under way
  int published_ = 0, arrived_ = 0, sent_ = 0;  // buckets, in order
  std::int64_t bytes_sent_ = 0;
};

}  // namespace lockstep::comm
