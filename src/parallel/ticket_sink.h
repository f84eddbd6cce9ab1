// Leads one stream's gradients into a flat buffer, summed over accumulated microbatches, and calls
// back at every bucket, so that messages move while a pass computes.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "lockstep/nn/program.h"
#include "lockstep/parallel/strategy.h"
#include "parallel/gradient_sink.h"

namespace lockstep::parallel {

class TicketSink final : public nn::GradientSink {
 public:
  // look: may be empty.
  TicketSink(const nn::Program& program, const BucketTable& buckets, const Options& options,
             std::function<void()> look);
  void begin(float* flat, std::int64_t micro);
  float* address(int parameter) override;
  void complete(int first, int end) override;
  std::size_t bytes() const { return addend_.size() * sizeof(float); }

 private:
  const ParameterTable& table_;
  const BucketTable& buckets_;
  const std::int64_t accumulate_;
  const bool round_;
  const std::function<void()> look_;
  std::vector<float> addend_;  // a bucket of a later microbatch
  float* flat_ = nullptr;
  std::int64_t micro_ = 0;
};

}  // namespace lockstep::parallel
