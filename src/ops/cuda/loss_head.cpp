// The loss head on cuda: for each block of rows, logits by a product, their loss and gradient in
// their place by one kernel, and the gradients of x and W from there. dW is added to from block to
// block, in order.
//
// A block is as long as 256 MiB of logits allow: shorter ones leave multiprocessors idle, and each
// block reads W twice and dW once more.
#include "lockstep/ops/loss_head.h"

#include <algorithm>
#include <optional>

#include "kernels/bias_activation.h"
#include "kernels/cross_entropy.h"
#include "kernels/elementwise.h"
#include "lockstep/core/error.h"
#include "ops/cost.h"
#include "ops/cuda/make.h"
#include "ops/cuda/matmul.h"
#include "ops/cuda/parts.h"

namespace lockstep::ops {
namespace {

using Bf16 = __nv_bfloat16;

constexpr std::int64_t kTile = 128;  // rows that a product's tiles have; blocks are whole tiles

std::int64_t block_rows(const LinearCrossEntropy& d, std::int64_t logits_bytes) {
  const std::int64_t fit = logits_bytes / (static_cast<std::int64_t>(sizeof(float)) * d.classes);
  const std::int64_t most = std::max(fit / kTile * kTile, kTile);
  const std::int64_t blocks = (d.rows + most - 1) / most;
  const std::int64_t even = (d.rows + blocks - 1) / blocks;
  return std::min((even + kTile - 1) / kTile * kTile, d.rows);
}

// The products of a block; the last block is shorter and has its own.
struct Products {
  Products(const Device& device, const LinearCrossEntropy& d, std::int64_t rows)
      : forward(device, {Product::Form::kForward, rows, d.in, d.classes, d.precision,
                         d.bias ? Product::End::kBias : Product::End::kNone}),
        data(device, {Product::Form::kData, rows, d.in, d.classes, d.precision}),
        weights(device, {Product::Form::kWeights, rows, d.in, d.classes, d.precision}) {}
  std::size_t workspace_bytes() const {
    return std::max({forward.workspace_bytes(), data.workspace_bytes(), weights.workspace_bytes()});
  }
  Matmul forward, data, weights;
};

class CudaLossHead final : public LossHead {
 public:
  CudaLossHead(Device& device, const LinearCrossEntropy& d, std::int64_t logits_bytes)
      : device_(device),
        d_(d),
        bf16_(d.precision == Precision::kBf16),
        block_(block_rows(d, logits_bytes)),
        products_(device, d, block_) {
    LOCKSTEP_CHECK(d.rows > 0 && d.in > 0 && d.classes > 0, "loss head of {} x {} to {} classes",
                   d.rows, d.in, d.classes);
    if (d.rows % block_ != 0) last_.emplace(device, d, d.rows % block_);
    plan_memory();
  }

  void run(const HeadArgs& args, std::span<const Metric> metrics,
           LaneRecord* record) const override {
    LOCKSTEP_CHECK(args.valid >= 0 && args.valid <= d_.rows, "{} of {} rows are valid", args.valid,
                   d_.rows);
    for (std::int64_t begin = 0; begin < args.valid; begin += block_)
      run_block(args, metrics, record, begin);
    if (args.d_x != nullptr) finish(args);
  }

  std::size_t workspace_bytes() const override { return workspace_.bytes(); }
  std::size_t packed_bytes() const override {
    return bf16_ ? sizeof(Bf16) * d_.in * d_.classes : 0;
  }
  void pack(const float* const* parameters, void* packed, Stream* stream) const override {
    if (bf16_) round(static_cast<Bf16*>(packed), parameters[0], d_.classes, d_.in, stream);
  }
  Cost cost() const override { return cost_of(d_); }
  std::vector<std::string> implementations() const override {
    return {products_.forward.implementation(), products_.data.implementation(),
            products_.weights.implementation()};
  }

 private:
  void plan_memory() {
    logits_ = workspace_.add(sizeof(float) * block_ * d_.classes);
    losses_ = workspace_.add(sizeof(double) * block_);
    ranks_ = workspace_.add(sizeof(std::int32_t) * block_);
    x_ = workspace_.add((bf16_ ? sizeof(Bf16) : sizeof(float)) * block_ * d_.in);
    if (bf16_) {
      d_logits_ = workspace_.add(sizeof(Bf16) * block_ * d_.classes);
    }
    if (d_.bias) {
      sums_ = workspace_.add(kernels::bias_workspace_bytes(block_, d_.classes));
      block_bias_ = workspace_.add(sizeof(float) * d_.classes);
    }
    const std::size_t last = last_ ? last_->workspace_bytes() : 0;
    scratch_ = workspace_.add(std::max(products_.workspace_bytes(), last));
  }
  template <class T>
  static T* at(const HeadArgs& args, Parts::Part part) {
    return Parts::at<T>(args.workspace, part);
  }

  static void round(Bf16* to, const float* from, std::int64_t rows, std::int64_t columns,
                    Stream* stream) {
    kernels::bias_activation(
        kernels::BiasActivation<float>{.rows = rows, .columns = columns, .z = from, .y_bf16 = to},
        cuda::native(stream));
  }

  void run_block(const HeadArgs& args, std::span<const Metric> metrics, LaneRecord* record,
                 std::int64_t begin) const {
    const std::int64_t rows = std::min(block_, d_.rows - begin);
    const std::int64_t valid = std::min(rows, args.valid - begin);
    const Products& products = rows == block_ ? products_ : *last_;
    const void* const x = block_input(args, begin, rows, valid);
    float* const logits = at<float>(args, logits_);
    const void* const w = bf16_ ? args.packed : args.parameters[0];
    products.forward.run(
        {.a = x, .b = w, .c = logits, .bias = d_.bias ? args.parameters[1] : nullptr},
        at<void>(args, scratch_), args.stream);
    measure_block(args, metrics, record, begin, valid);
    if (args.d_x == nullptr) return;
    device_.fill(logits + valid * d_.classes, 0, sizeof(float) * (rows - valid) * d_.classes,
                 *args.stream);
    const void* d_logits = logits;
    if (bf16_ || d_.bias) d_logits = round_and_sum(args, rows, begin);
    products.data.run({.a = d_logits, .b = w, .c = args.d_x + begin * d_.in},
                      at<void>(args, scratch_), args.stream);
    float* const dw = args.d_parameters[0];
    products.weights.run({.a = d_logits, .b = x, .c = dw, .added = begin > 0 ? dw : nullptr},
                         at<void>(args, scratch_), args.stream);
  }

  // x of a block as a factor of the products. What lies in rows that do not count may be anything,
  // and must not reach dW by 0 * NaN.
  const void* block_input(const HeadArgs& args, std::int64_t begin, std::int64_t rows,
                          std::int64_t valid) const {
    const float* const x = args.x + begin * d_.in;
    if (!bf16_ && valid == rows) return x;
    const std::size_t row = (bf16_ ? sizeof(Bf16) : sizeof(float)) * d_.in;
    auto* const own = at<std::byte>(args, x_);
    if (bf16_)
      round(at<Bf16>(args, x_), x, valid, d_.in, args.stream);
    else
      device_.copy(own, x, row * valid, *args.stream);
    device_.fill(own + row * valid, 0, row * (rows - valid), *args.stream);
    return own;
  }

  // Losses and metrics of the block, then the logits' gradient in their place.
  void measure_block(const HeadArgs& args, std::span<const Metric> metrics, LaneRecord* record,
                     std::int64_t begin, std::int64_t valid) const {
    const cudaStream_t stream = cuda::native(args.stream);
    kernels::CrossEntropyRows<float> block;
    block.logits = at<float>(args, logits_);
    block.labels = args.labels + begin;
    block.rows = valid, block.width = d_.classes;
    block.losses = at<double>(args, losses_);
    if (args.d_x != nullptr) block.d_logits = at<float>(args, logits_);
    const auto ranks_it = [](const Metric& m) {
      return m.kind == MetricKind::kAccuracy || m.kind == MetricKind::kTopK;
    };
    if (std::any_of(metrics.begin(), metrics.end(), ranks_it))
      block.rank = at<std::int32_t>(args, ranks_);
    kernels::cross_entropy(block, stream);
    kernels::add_cross_entropy(block.losses, block.labels, valid, &record->sums[0],
                               &record->counts[0], stream);
    for (const Metric& metric : metrics)
      if (ranks_it(metric))
        kernels::add_hits(block.rank, valid, metric.k, &record->counts[metric.count_slot], stream);
  }

  // d_logits as a factor of the products; adds the block's column sums to d_bias.
  const void* round_and_sum(const HeadArgs& args, std::int64_t rows, std::int64_t begin) const {
    kernels::BiasActivationGradient<float> g{.rows = rows, .columns = d_.classes};
    g.dy = at<float>(args, logits_);
    g.dz_bf16 = at<Bf16>(args, d_logits_);
    if (d_.bias) g.d_bias = begin > 0 ? at<float>(args, block_bias_) : args.d_parameters[1];
    g.workspace = at<void>(args, sums_);
    kernels::bias_activation_gradient(g, cuda::native(args.stream));
    if (d_.bias && begin > 0)
      kernels::add(args.d_parameters[1], args.d_parameters[1], g.d_bias, d_.classes,
                   cuda::native(args.stream));
    return bf16_ ? static_cast<const void*>(g.dz_bf16) : g.dy;
  }

  // Rows behind the last block that ran have no gradient.
  void finish(const HeadArgs& args) const {
    const std::int64_t done = std::min((args.valid + block_ - 1) / block_ * block_, d_.rows);
    device_.fill(args.d_x + done * d_.in, 0, sizeof(float) * (d_.rows - done) * d_.in,
                 *args.stream);
    if (args.valid > 0) return;
    device_.fill(args.d_parameters[0], 0, sizeof(float) * d_.classes * d_.in, *args.stream);
    if (d_.bias) device_.fill(args.d_parameters[1], 0, sizeof(float) * d_.classes, *args.stream);
  }

  Device& device_;
  LinearCrossEntropy d_;
  bool bf16_;
  std::int64_t block_;
  Products products_;
  std::optional<Products> last_;
  Parts workspace_;
  Parts::Part logits_, losses_, ranks_, x_, d_logits_, sums_, block_bias_, scratch_;
};

}  // namespace

std::unique_ptr<LossHead> make_cuda(Device& device, const LinearCrossEntropy& d,
                                    std::int64_t logits_bytes) {
  return std::make_unique<CudaLossHead>(device, d, logits_bytes);
}

}  // namespace lockstep::ops
