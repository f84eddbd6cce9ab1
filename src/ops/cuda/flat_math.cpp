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
  CudaUpdate(Device& device, const ParameterTable& table, std::vector<BlockRun> runs)
      : device_(device), blocks_(table.blocks().size()), runs_(std::move(runs)) {
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
    on_host_ = device.allocate_on_host(squares_.bytes(), "norms of LAMB");
    shared_.resize(2 * blocks_);
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
    for (const BlockRun& run : runs_) {
      kernels::sgd(args(step, run, s.g_scale), {s.lr, s.momentum, s.decay, s.nesterov, s.first},
                   shifted(momentum, run), native(stream));
    }
  }

  void adam(const FlatStep& step, const AdamStep& s, float* m, float* v, Stream& stream) override {
    for (const BlockRun& run : runs_) {
      kernels::adam(args(step, run, s.g_scale), rule(s), shifted(m, run), shifted(v, run),
                    native(stream));
    }
  }

  void lamb(const FlatStep& step, const AdamStep& s, float* m, float* v, const Share& share,
            Stream& stream) override {
    auto* const weights = squares_.as<double>();
    double* const directions = weights + blocks_;
    auto* const factors = factors_.as<float>();
    for (const BlockRun& run : runs_) {
      kernels::lamb_moments(args(step, run, s.g_scale), rule(s), shifted(m, run), shifted(v, run),
                            weights, directions, native(stream));
    }
    if (share) exchange(share, stream);
    kernels::lamb_factors(table_, s.lr, weights, directions, factors, native(stream));
    for (const BlockRun& run : runs_) {
      kernels::lamb_apply(args(step, run, s.g_scale), rule(s), shifted(m, run), shifted(v, run),
                          factors, native(stream));
    }
  }

  std::size_t bytes() const override {
    return block_table_.bytes() + parameter_table_.bytes() + gradients_.bytes() + squares_.bytes() +
           factors_.bytes();
  }

 private:
  // Null stays null.
  static float* shifted(float* state, const BlockRun& run) {
    return state == nullptr ? nullptr : state + run.shift();
  }
  kernels::UpdateArgs args(const FlatStep& step, const BlockRun& run, double g_scale) const {
    kernels::UpdateArgs a;
    a.table = table_;
    a.range = {run.first, run.count};
    a.parameters = step.packed ? step.parameters + run.shift() : step.parameters;
    a.gradients = gradients_.as<const float*>();
    a.g_scale = g_scale;
    a.statistics_scale = step.statistics_scale;
    return a;
  }
  // On the device all weights come first; those who share have a block's two side by side.
  void exchange(const Share& share, Stream& stream) {
    auto* const values = on_host_.as<double>();
    device_.copy(values, squares_.data(), squares_.bytes(), stream);
    stream.synchronize();
    for (std::size_t b = 0; b < blocks_; ++b) {
      shared_[2 * b] = values[b];
      shared_[2 * b + 1] = values[blocks_ + b];
    }
    share(shared_);
    for (std::size_t b = 0; b < blocks_; ++b) {
      values[b] = shared_[2 * b];
      values[blocks_ + b] = shared_[2 * b + 1];
    }
    device_.copy(squares_.data(), values, squares_.bytes(), stream);
  }
  static kernels::AdamRule rule(const AdamStep& s) {
    return {s.lr, s.beta1, s.beta2, s.epsilon, s.decay, s.c1, s.c2, s.decoupled};
  }

  Device& device_;
  const std::size_t blocks_;
  const std::vector<BlockRun> runs_;
  Buffer on_host_;              // squares_, for Share
  std::vector<double> shared_;  // likewise
  Buffer block_table_, parameter_table_, gradients_, given_, squares_, factors_;
  kernels::DeviceTable table_;
};

}  // namespace

void add_cuda(float* dst, const float* a, const float* b, std::int64_t n, Stream& stream) {
  kernels::add(dst, a, b, n, native(stream));
}

void round_to_bf16_cuda(float* dst, const float* x, std::int64_t n, Stream& stream) {
  kernels::round_to_bf16(dst, x, n, native(stream));
}

std::unique_ptr<FlatUpdate> make_cuda_update(Device& device, const ParameterTable& table,
                                             std::vector<BlockRun> runs) {
  return std::make_unique<CudaUpdate>(device, table, std::move(runs));
}

}  // namespace lockstep::ops
