// Loss and metrics of one microbatch by own kernels (kernels/cross_entropy.h, kernels/loss.h).
#include "lockstep/ops/loss.h"

#include "device/cuda/cuda_device.h"
#include "kernels/cross_entropy.h"
#include "kernels/loss.h"
#include "lockstep/core/error.h"
#include "ops/cuda/make.h"
#include "ops/cuda/parts.h"

namespace lockstep::ops {
namespace {

bool counts_hits(const Metric& m) {
  return m.kind == MetricKind::kAccuracy || m.kind == MetricKind::kTopK;
}

class CudaLoss final : public Loss {
 public:
  CudaLoss(Device& device, const LossForm& d) : device_(device), d_(d) {
    if (d.kind == LossKind::kSoftmaxCrossEntropy) {
      losses_ = workspace_.add(sizeof(double) * d.samples);
      for (const Metric& m : d.metrics) ranked_ = ranked_ || counts_hits(m);
      if (ranked_) rank_ = workspace_.add(sizeof(std::int32_t) * d.samples);
    } else {
      partials_ = workspace_.add(kernels::value_loss_workspace(d.samples * d.width));
    }
  }

  void run(const LossArgs& args, LaneRecord* record, void* workspace,
           Stream* stream) const override {
    LOCKSTEP_CHECK(args.valid >= 0 && args.valid <= args.samples && args.samples <= d_.samples &&
                   args.width == d_.width);
    const cudaStream_t native = cuda::native(stream);
    if (d_.kind == LossKind::kSoftmaxCrossEntropy) {
      of_classes(args, *record, workspace, native);
    } else {
      of_values(args, *record, workspace, native);
    }
    const std::int64_t padding = (args.samples - args.valid) * args.width;
    if (args.d_outputs == nullptr || padding == 0) return;
    device_.fill(args.d_outputs + args.valid * args.width, 0, sizeof(float) * padding, *stream);
  }

  std::size_t workspace_bytes() const override { return workspace_.bytes(); }

 private:
  // The record lies on the device: only addresses of its numbers are formed here.
  void of_classes(const LossArgs& args, LaneRecord& record, void* workspace,
                  cudaStream_t stream) const {
    kernels::CrossEntropyRows<float> rows;
    rows.logits = args.outputs, rows.labels = args.labels;
    rows.rows = args.valid, rows.width = args.width;
    rows.d_logits = args.d_outputs;
    rows.losses = Parts::at<double>(workspace, losses_);
    rows.rank = Parts::at<std::int32_t>(workspace, rank_);
    kernels::cross_entropy(rows, stream);
    kernels::add_cross_entropy(rows.losses, args.labels, args.valid, record.sums.data(),
                               record.counts.data(), stream);
    for (const Metric& m : d_.metrics) {
      if (!counts_hits(m)) continue;
      kernels::add_hits(rows.rank, args.valid, m.k, record.counts.data() + m.count_slot, stream);
    }
  }

  void of_values(const LossArgs& args, LaneRecord& record, void* workspace,
                 cudaStream_t stream) const {
    const std::int64_t n = args.valid * args.width;
    double* const sums = record.sums.data();
    std::int64_t* const counts = record.counts.data();
    kernels::ValueSums to;
    kernels::CountsToAdd totals;
    to.loss = sums;
    totals.add(counts, n);
    for (const Metric& m : d_.metrics) {
      double* const own = sums + m.sum_slot;
      if (m.kind == MetricKind::kMae) to.absolute = own;
      if (m.kind == MetricKind::kR2)
        to.targets = own, to.target_squares = own + 1, to.squares = own + 2;
      if (counts_hits(m)) to.hits = counts + m.count_slot;
      totals.add(counts + m.count_slot + (counts_hits(m) ? 1 : 0), n);
    }
    kernels::value_loss(kind(), args.outputs, args.targets, args.d_outputs, n, to,
                        Parts::at<void>(workspace, partials_), stream);
    kernels::add_counts(totals, stream);
  }

  kernels::ValueLoss kind() const {
    if (d_.kind == LossKind::kMse) return kernels::ValueLoss::kSquared;
    if (d_.kind == LossKind::kMae) return kernels::ValueLoss::kAbsolute;
    return kernels::ValueLoss::kLogistic;
  }

  Device& device_;
  const LossForm d_;
  bool ranked_ = false;
  Parts workspace_;
  Parts::Part losses_, rank_, partials_;
};

}  // namespace

std::unique_ptr<Loss> make_cuda(Device& device, const LossForm& d) {
  return std::make_unique<CudaLoss>(device, d);
}

}  // namespace lockstep::ops
