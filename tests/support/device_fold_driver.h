// Drives a fold on a device whose streams run late with invented gradients, and compares every bit
// with the one tree. Leaves are written by copies; sums are read by copies, which peers must await.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "lockstep/comm/fold.h"
#include "lockstep/device/device.h"

namespace lockstep::test {

struct DriveOptions {
  bool captured = false;         // a lane's work is a graph
  bool threads = false;          // one a stream; else this thread gives all streams' work
  std::vector<bool> owned = {};  // by block, those whose sums this rank reads; empty: all
};

class DeviceFoldDriver {
 public:
  DeviceFoldDriver(comm::Fold& fold, const comm::FoldLayout& layout, Device& device,
                   const DriveOptions& options);
  ~DeviceFoldDriver();
  void run_step(std::int64_t step);
  // Gives the reading of the sums to a stream, and the release behind it.
  void read(std::int64_t step);
  // The first difference from the reference in what read(step) has read, or "". One step may have
  // been run in between.
  std::string check(std::int64_t step);

 private:
  struct Lanes {
    std::vector<std::int64_t> lanes;
    std::unique_ptr<Stream> work;
    Buffer input;                 // on the device
    std::vector<Buffer> staging;  // by lane
    std::unique_ptr<Graph> graph;
  };
  struct Read {
    Buffer sums;
    std::vector<double> values;
    std::vector<char> records;
    std::unique_ptr<Event> here;
  };
  void run_lane(int stream, std::int64_t index, std::int64_t step);
  void give_leaves(int stream, std::int64_t lane, const float* from);
  bool reads(std::size_t block) const { return options_.owned.empty() || options_.owned[block]; }
  // Where addresses depend on what was pushed before, each bucket is pushed before the next.
  bool in_rounds() const { return layout_.leaves == comm::Leaves::kInRounds; }

  comm::Fold& fold_;
  const comm::FoldLayout& layout_;
  Device& device_;
  const DriveOptions options_;
  std::vector<Lanes> streams_;
  std::unique_ptr<Stream> reader_;
  Read reads_[2];
};

}  // namespace lockstep::test
