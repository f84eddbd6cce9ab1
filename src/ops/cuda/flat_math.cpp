#include "ops/cuda/flat_math.h"

#include <algorithm>
#include <cstring>

#include "kernels/elementwise.h"
#include "kernels/update.h"
#include "lockstep/core/error.h"

namespace lockstep::ops {
namespace {

cudaStream_t native(Stream& stream) { return static_cast<cudaStream_t>(stream.native()); }

class CudaUpdate final : public FlatUpdate {
 public:
  CudaUpdate(Device& device, const ParameterTable& table)
      : device_(device), blocks_(table.blocks().size()) {
    const std::unique_ptr<Stream> stream = device.make_stream();
    const auto upload = [&](const void* from, std::size_t bytes, const char* purpose) {
      Buffer to = device.allocate(bytes, purpose);
      device.copy(to.data(), from, bytes, *stream);
      return to;
    };
    const std::vector<kernels::ParameterEntry> entries = kernels::parameter_entries(table);
    block_table_ = upload(table.blocks().data(), blocks_ * sizeof(Block), "the table of blocks");
    parameter_table_ =
        upload(entries.data(), entries.size() * sizeof(entries[0]), "the table of parameters");
    stream->synchronize();
    gradients_ = device.allocate(blocks_ * sizeof(float*), "addresses of gradients");
    given_ = device.allocate_on_host(blocks_ * sizeof(float*), "addresses of gradients");
    squares_ = device.allocate(2 * blocks_ * sizeof(double), "norms of LAMB");
    factors_ = device.allocate(entries.size() * sizeof(float), "factors of LAMB");
    table_ = {block_table_.as<const Block>(), parameter_table_.as<const kernels::ParameterEntry>(),
              static_cast<int>(entries.size())};
  }

  void set_gradients(std::span<const float* const> blocks, Stream& stream) override {
    LOCKSTEP_CHECK(blocks.size() == blocks_, "gradients of {} blocks, not of {}", blocks.size(),
                   blocks_);
    const auto** const given = given_.as<const float*>();
    if (std::equal(blocks.begin(), blocks.end(), given)) return;
    stream.synchronize();  // the copy of the last addresses reads them
    std::copy(blocks.begin(), blocks.end(), given);
    device_.copy(gradients_.data(), given, blocks.size_bytes(), stream);
  }

  void sgd(const FlatStep& step, const SgdStep& s, float* momentum, Stream& stream) override {
    kernels::sgd(args(step, s.g_scale), {s.lr, s.momentum, s.decay, s.nesterov, s.first}, momentum,
                 native(stream));
  }

  void adam(const FlatStep& step, const AdamStep& s, float* m, float* v, Stream& stream) override {
    kernels::adam(args(step, s.g_scale), rule(s), m, v, native(stream));
  }

  void lamb(const FlatStep& step, const AdamStep& s, float* m, float* v, Stream& stream) override {
    const kernels::UpdateArgs a = args(step, s.g_scale);
    auto* const weights = squares_.as<double>();
    double* const directions = weights + blocks_;
    auto* const factors = factors_.as<float>();
    kernels::lamb_moments(a, rule(s), m, v, weights, directions, native(stream));
    kernels::lamb_factors(table_, s.lr, weights, directions, factors, native(stream));
    kernels::lamb_apply(a, rule(s), m, v, factors, native(stream));
  }

  std::size_t bytes() const override {
    return block_table_.bytes() + parameter_table_.bytes() + gradients_.bytes() + squares_.bytes() +
           factors_.bytes();
  }

 private:
  kernels::UpdateArgs args(const FlatStep& step, double g_scale) const {
    kernels::UpdateArgs a;
    a.table = table_;
    a.range = {0, static_cast<int>(blocks_)};
    a.parameters = step.parameters;
    a.gradients = gradients_.as<const float*>();
    a.g_scale = g_scale;
    a.statistics_scale = step.statistics_scale;
    return a;
  }
  static kernels::AdamRule rule(const AdamStep& s) {
    return {s.lr, s.beta1, s.beta2, s.epsilon, s.decay, s.c1, s.c2, s.decoupled};
  }

  Device& device_;
  const std::size_t blocks_;
  Buffer block_table_, parameter_table_, gradients_, given_, squares_, factors_;
  kernels::DeviceTable table_;
};

}  // namespace

void add_cuda(float* dst, const float* a, const float* b, std::int64_t n, Stream& stream) {
  kernels::add(dst, a, b, n, native(stream));
}

std::unique_ptr<FlatUpdate> make_cuda_update(Device& device, const ParameterTable& table) {
  return std::make_unique<CudaUpdate>(device, table);
}

}  // namespace lockstep::ops
