// What one stream exchanges with the host where the two do not share memory: inputs and the random
// key go in through pinned memory, records and logits come out. Two microbatches of inputs have a
// place, so that the host fills one while the device has not yet taken the other.
#pragma once
#include <array>
#include <cstdint>
#include <memory>

#include "lockstep/core/philox.h"
#include "lockstep/device/device.h"
#include "lockstep/ops/loss.h"

namespace lockstep::nn {

struct StagedSizes {  // bytes
  std::size_t input = 0, labels = 0, targets = 0, output = 0;
  bool classes = true;  // the loss reads labels; else targets
};

class Staging {
 public:
  // device_input: where inputs go on the device.
  Staging(Device& device, Stream& stream, float* device_input, const StagedSizes& sizes);

  // To be filled by the host. Wait until the device has taken what was here.
  float* input();
  std::int32_t* labels();
  float* targets();
  // Gives the copies of what was filled in, and of the key, to the stream.
  void send(const RandomKey& random);

  const RandomKey* device_random() const { return device_.as<const RandomKey>(); }
  const std::int32_t* device_labels() const;
  const float* device_targets() const;

  // The record that the pass adds to, on the device: +0 from begin_record() on; after end_record()
  // it is on its way to `to`, which is complete after finish().
  ops::LaneRecord* begin_record();
  void end_record(ops::LaneRecord& to);
  void finish();      // waits for all work of the stream
  bool done() const;  // whether that would return at once

  // Copies from the device, and waits.
  const float* fetch_output(const float* from);

  std::size_t host_bytes() const;

 private:
  static constexpr int kInputs = 2, kRecords = 4;
  struct Inputs {
    Buffer host;
    std::unique_ptr<Event> taken;
    bool sent = false;
  };
  struct Coming {
    std::unique_ptr<Event> here;
    ops::LaneRecord* to = nullptr;
  };
  std::byte* filling();
  void add_oldest();

  Device& owner_;
  Stream& stream_;
  float* const device_input_;
  const StagedSizes sizes_;
  // In a place of inputs: the input, the key, labels, targets; on the device without the input.
  const std::size_t key_at_, labels_at_, targets_at_, end_;
  Buffer device_, device_record_, host_records_, output_;
  std::array<Inputs, kInputs> inputs_;
  std::array<Coming, kRecords> coming_;
  int filling_ = 0, first_ = 0, count_ = 0;  // of coming_: the oldest, and how many
};

}  // namespace lockstep::nn
