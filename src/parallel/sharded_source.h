// Parameters of a use, brought from the memory that a node's ranks share to the device: two places
// there take turns, so that one is filled while the other is read. Knows no lane and no gradient.
#pragma once
#include <array>
#include <memory>
#include <vector>

#include "parallel/sharded_device.h"

namespace lockstep::parallel {

class ShardedSource final : public nn::ParameterSource {
 public:
  ShardedSource(Device& device, const nn::Program& program, comm::SharedFlat& flat,
                ShardedDevice& parameters);
  ~ShardedSource() override;
  void begin_pass(int uses) override;
  void hold(int use, const float** addresses, Stream& stream) override;
  void release(int use, Stream& stream) override;
  std::size_t bytes() const { return places_[0].memory.bytes() + places_[1].memory.bytes(); }

 private:
  struct Place {
    Buffer memory;
    std::unique_ptr<Event> filled, read;
  };
  Place& place(int use) { return places_[use % 2]; }
  void copy_up(int use);
  void let_go(int end);

  Device& device_;
  const ParameterTable& table_;
  const std::vector<nn::ParameterUse>& uses_;
  comm::SharedFlat& flat_;
  ShardedDevice& parameters_;
  std::vector<std::vector<std::int64_t>> at_;  // use, parameter: where it lies in the place
  std::array<Place, 2> places_;
  std::unique_ptr<Stream> copies_;
  std::vector<const float*> on_host_;  // of the use at hand
  int passing_ = 0;                    // uses of this pass
  int gone_ = 0;                       // of these, copied up and released to the node
};

}  // namespace lockstep::parallel
