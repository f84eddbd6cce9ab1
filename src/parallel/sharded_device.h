// The parameters of a sharded run on a device whose memory is not the host's: all of them, or this
// rank's shard alone, and their way through the memory that the node's ranks share. Knows neither
// gradients nor how blocks are updated.
#pragma once
#include <memory>
#include <vector>

#include "lockstep/comm/fold.h"
#include "lockstep/comm/shared_flat.h"
#include "lockstep/core/block_runs.h"
#include "lockstep/device/pinned_pages.h"
#include "lockstep/nn/program.h"
#include "parallel/gradient_sink.h"

namespace lockstep::parallel {

class ShardedDevice {
 public:
  // shard: null, for all parameters, as in the table; or this rank's runs, for these alone. fold:
  // is moved forward while this waits for the device.
  ShardedDevice(Device& device, nn::Program& program, const BucketTable& buckets,
                comm::SharedFlat& flat, comm::Fold& fold, int position,
                const std::vector<BlockRun>* shard);

  float* data() const { return data_.as<float>(); }
  std::size_t bytes() const { return data_.bytes(); }
  // What the program's stream 0 was given changes this rank's blocks here: down, to the others, and
  // theirs up.
  void bring_updated(std::int64_t step);
  // This rank's blocks were written into the shared memory.
  void bring_restored();
  // Until all that was given before the event is done. Peers are served meanwhile.
  void wait(Event& event);

 private:
  struct Part {  // this rank's of a bucket
    std::int64_t begin = 0, elements = 0;
    std::int64_t at = 0;  // in data_
    std::int64_t end() const { return begin + elements; }
  };
  void copy_up(std::int64_t begin, std::int64_t end, Stream& stream);
  bool all_here() const { return shard_ == nullptr; }

  Device& device_;
  nn::Program& program_;
  const BucketTable& buckets_;
  comm::SharedFlat& flat_;
  comm::Fold& fold_;
  const std::vector<BlockRun>* const shard_;
  Buffer data_;
  std::vector<Part> parts_;                   // by bucket
  std::vector<std::unique_ptr<Event>> down_;  // likewise
  std::vector<PinnedPages> pinned_;
};

}  // namespace lockstep::parallel
