// Who adds: the host, at once, or a device, late. A fold gives an engine the work of a bucket and
// asks whether it is done; plan, flags, records and messages are the fold's and the same for both.
#pragma once
#include <cstdint>

#include "lane_claims.h"
#include "lockstep/comm/node_store.h"
#include "lockstep/device/device.h"

namespace lockstep::comm {

// Of a bucket, in this order; kShard and kReturn only where there are several nodes.
enum class Stage {
  kPart,    // this rank's part of the node's stores: to the sum, or to the outbox
  kShard,   // all nodes' partial sums of this rank's shard, to the result
  kReturn,  // what came back from other nodes: its sums of squares, and where it is read
};

class FoldEngine {
 public:
  virtual ~FoldEngine() = default;
  // False: what is given is done when the call returns, and done() need not be asked for stored().
  virtual bool late() const = 0;
  virtual LaneRange lanes(int stream) const = 0;
  // Where lanes move: what the stream runs from now on.
  virtual void begin_lane(int /*stream*/, const Claim& /*claim*/) {}
  virtual float* leaf(int stream, std::int64_t lane, int bucket) = 0;
  virtual void open(int /*stream*/, Stream& /*work*/) {}
  virtual void mark(int /*stream*/, int /*bucket*/, Stream& /*work*/) {}
  // Merges siblings. True: the rank's stores of this bucket are complete for this step. A late
  // engine says so by stored().
  virtual bool push(int stream, std::int64_t lane, int bucket) = 0;
  virtual bool stored(int /*bucket*/) { return true; }
  virtual void end_step() = 0;  // every bucket must have been pushed by all lanes

  virtual void start(Stage stage, int bucket) = 0;
  virtual bool done(Stage stage, int bucket) = 0;

  // The sums are read when all that `work` was given is done; released() says when.
  virtual void release(Stream& /*work*/) {}
  virtual bool released() { return true; }

  // Seconds in which the calling thread added: in start(), and in start() and push() together.
  virtual double folding() const = 0;
  virtual double seconds() const = 0;
};

}  // namespace lockstep::comm
