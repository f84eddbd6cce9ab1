// An op on a device with memory for one call: numbers of the host go in, results come out. Knows no
// particular op.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "lockstep/ops/op.h"

namespace lockstep::bench {

using Floats = std::vector<float>;

// n numbers in [-1, 1), the same for the same seed. bf16: such that bf16 holds them.
Floats numbers(std::int64_t n, std::uint64_t seed, bool bf16 = false);

struct OpSizes {
  std::vector<std::int64_t> inputs;
  std::int64_t output = 0;
  std::vector<std::int64_t> parameters = {};
  std::vector<std::int64_t> statistics = {};  // of the lane: written by forward
  bool bf16 = false;                          // numbers that bf16 holds
};

class OpMemory {
 public:
  OpMemory(Device& device, std::unique_ptr<ops::Op> op, const OpSizes& sizes);

  const ops::Op& op() const { return *op_; }
  // In the place of the numbers that are there: token numbers, positive variances.
  void set_input(int i, const void* data);

  void forward() const { op_->forward(args_); }
  void backward() const { op_->backward(args_); }
  void settle() const { stream_->synchronize(); }

  const Floats& input(int i) const { return inputs_[i].host; }
  const Floats& parameter(int i) const { return parameters_[i].host; }
  const Floats& d_output() const { return d_output_.host; }
  const RandomKey& random() const { return args_.random; }
  // What the device has now.
  Floats output() const { return fetch(output_); }
  Floats d_input(int i) const { return fetch(d_inputs_[i]); }
  Floats d_parameter(int i) const { return fetch(d_parameters_[i]); }

 private:
  struct Tensor {
    Floats host;  // empty: results
    std::int64_t elements = 0;
    Buffer device;
  };
  Tensor made(std::int64_t n, bool filled);
  Floats fetch(const Tensor& tensor) const;
  void upload(const Tensor& tensor);
  void* bytes(std::size_t n);

  Device& device_;
  const std::unique_ptr<Stream> stream_;
  const std::unique_ptr<ops::Op> op_;
  const bool bf16_;
  std::uint64_t seed_ = 0;
  std::vector<Tensor> inputs_, parameters_, d_inputs_, d_parameters_, statistics_;
  Tensor output_, d_output_;
  std::vector<Buffer> buffers_;
  std::vector<const float*> input_at_, parameter_at_;
  std::vector<float*> d_input_at_, d_parameter_at_, statistic_at_;
  ops::Args args_;
};

}  // namespace lockstep::bench
