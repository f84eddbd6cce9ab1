#include "bench/op_memory.h"

#include <cstring>

#include "lockstep/core/fault.h"
#include "lockstep/ops/vector.h"

namespace lockstep::bench {

Floats numbers(std::int64_t n, std::uint64_t seed, bool bf16) {
  Floats x(static_cast<std::size_t>(n));
  std::uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (float& value : x) {  // splitmix64 (Steele et al. 2014)
    std::uint64_t z = state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    value = static_cast<float>(static_cast<std::int32_t>(z >> 33)) * 0x1p-30f - 1.0f;
  }
  if (bf16) ops::round_to_bf16(x.data(), x.data(), n);
  return x;
}

OpMemory::OpMemory(Device& device, std::unique_ptr<ops::Op> op, const OpSizes& sizes)
    : device_(device), stream_(device.make_stream()), op_(std::move(op)), bf16_(sizes.bf16) {
  for (const std::int64_t n : sizes.inputs) {
    inputs_.push_back(made(n, true));
    d_inputs_.push_back(made(n, false));
  }
  for (const std::int64_t n : sizes.parameters) {
    parameters_.push_back(made(n, true));
    d_parameters_.push_back(made(n, false));
  }
  for (const std::int64_t n : sizes.statistics) statistics_.push_back(made(n, false));
  output_ = made(sizes.output, false);
  d_output_ = made(sizes.output, true);
  for (const Tensor& t : inputs_) input_at_.push_back(t.device.as<float>());
  for (const Tensor& t : d_inputs_) d_input_at_.push_back(t.device.as<float>());
  for (const Tensor& t : parameters_) parameter_at_.push_back(t.device.as<float>());
  for (const Tensor& t : d_parameters_) d_parameter_at_.push_back(t.device.as<float>());
  for (const Tensor& t : statistics_) statistic_at_.push_back(t.device.as<float>());
  args_.inputs = input_at_.data();
  args_.output = output_.device.as<float>();
  args_.d_output = d_output_.device.as<float>();
  args_.d_inputs = d_input_at_.data();
  args_.parameters = parameter_at_.data();
  args_.d_parameters = d_parameter_at_.data();
  args_.lane_statistics = statistic_at_.empty() ? nullptr : statistic_at_.data();
  args_.saved = bytes(op_->saved_bytes());
  args_.workspace = bytes(op_->workspace_bytes());
  args_.random = RandomKey{.seed = 1, .step = 2, .lane_micro = 3, .op = 4};
  args_.stream = stream_.get();
  if (!device.is_host()) {
    RandomKey key = args_.random;
    key.op = 0;
    void* const at = bytes(sizeof key);
    device.copy(at, &key, sizeof key, *stream_);
    args_.device_random = static_cast<const RandomKey*>(at);
  }
  void* const packed = bytes(op_->packed_bytes());
  args_.packed = packed;
  op_->pack(parameter_at_.data(), packed, stream_.get());
  settle();
}

OpMemory::Tensor OpMemory::made(std::int64_t n, bool filled) {
  Tensor tensor;
  tensor.elements = n;
  tensor.device = device_.allocate(static_cast<std::size_t>(n) * sizeof(float), "a benchmark");
  if (filled) {
    tensor.host = numbers(n, ++seed_, bf16_);
    upload(tensor);
  }
  return tensor;
}

void OpMemory::upload(const Tensor& tensor) {
  device_.copy(tensor.device.data(), tensor.host.data(), tensor.device.bytes(), *stream_);
  settle();
}

void* OpMemory::bytes(std::size_t n) {
  buffers_.push_back(device_.allocate(n, "a benchmark"));
  return buffers_.back().data();
}

void OpMemory::set_input(int i, const void* data) {
  std::memcpy(inputs_[i].host.data(), data, inputs_[i].host.size() * sizeof(float));
  upload(inputs_[i]);
}

Floats OpMemory::fetch(const Tensor& tensor) const {
  Floats host(static_cast<std::size_t>(tensor.elements));
  device_.copy(host.data(), tensor.device.data(), host.size() * sizeof(float), *stream_);
  settle();
  bool flip = false;
  if (fault::damages("bench", -1, flip)) {
    float& x = host[host.size() / 2];
    x = fault::damaged(x, flip, 30);
  }
  return host;
}

}  // namespace lockstep::bench
