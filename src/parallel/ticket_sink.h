// Leads one stream's gradients into a flat buffer of the host's memory, summed over accumulated
// microbatches, and calls back at every bucket, so that messages move while a pass computes. On a
// device whose streams run late they are made there and brought bucket by bucket.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "lockstep/nn/program.h"
#include "lockstep/parallel/strategy.h"
#include "parallel/gradient_sink.h"

namespace lockstep::parallel {

class TicketSink final : public nn::GradientSink {
 public:
  // look: may be empty.
  TicketSink(Device& device, const nn::Program& program, const BucketTable& buckets,
             const Options& options, std::function<void()> look);
  ~TicketSink() override;
  // flat: from allocate_on_host(). Where streams run late: once what was begun before is here().
  void begin(float* flat, std::int64_t micro);
  float* address(int parameter) override;
  void written(int first, int end, Stream& stream) override;
  void complete(int first, int end) override;
  // All that was begun lies in the host's memory, once the program's stream is done.
  bool here() const { return !late() || brought_->done(); }

  std::size_t device_bytes() const { return own_.bytes(); }
  std::size_t addend_bytes() const { return addends_.bytes(); }

 private:
  bool late() const { return copies_ != nullptr; }
  bool last_micro() const { return micro_ + 1 == accumulate_; }
  float* sum() const { return late() ? own_.as<float>() : flat_; }
  float* addend() const;

  Device& device_;
  const ParameterTable& table_;
  const BucketTable& buckets_;
  const std::int64_t accumulate_;
  const bool round_;
  const std::function<void()> look_;
  std::int64_t largest_ = 0;  // elements of a bucket
  Buffer addends_;            // buckets of a later microbatch
  float* flat_ = nullptr;
  std::int64_t micro_ = 0;
  // Where streams run late.
  Buffer own_;
  std::unique_ptr<Stream> copies_;
  std::vector<std::unique_ptr<Event>> marks_;  // by bucket: it is written
  std::unique_ptr<Event> brought_;
};

}  // namespace lockstep::parallel
