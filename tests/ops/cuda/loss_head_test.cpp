// The loss head on the cuda device against the cpu device.
#include "lockstep/ops/loss_head.h"

#include <gtest/gtest.h>

#include "ops/cuda/make.h"
#include "ops/cuda/on_device.h"
#include "ops/numbers.h"

namespace lockstep::ops {
namespace {

struct HeadResult {
  LaneRecord record;
  Floats d_x, d_w, d_b;
};

// Rows that do not count hold NaN, and labels that would be faults.
HeadResult run_head(Device& device, const LossHead* head, const LinearCrossEntropy& d,
                    std::int64_t valid, bool gradients = true) {
  const std::unique_ptr<Stream> stream = device.make_stream();
  Floats x = uniform(d.rows * d.in, 1);
  std::fill(x.begin() + valid * d.in, x.end(), NAN);
  std::vector<std::int32_t> ids(d.rows, 1 << 30);
  for (std::int64_t n = 0; n < valid; ++n)
    ids[n] = n % 5 == 3 ? -1 : static_cast<std::int32_t>(n * 7 % d.classes);
  const DeviceFloats input(device, *stream, x), labels(device, *stream, tokens(ids));
  const DeviceFloats w(device, *stream, uniform(d.classes * d.in, 2));
  const DeviceFloats b(device, *stream, uniform(d.classes, 3));
  const DeviceFloats packed(device, *stream, head->packed_bytes() / 4 + 1);
  const DeviceFloats workspace(device, *stream, head->workspace_bytes() / 4 + 1);
  const DeviceFloats d_x(device, *stream, x.size()), d_w(device, *stream, d.classes * d.in);
  const DeviceFloats d_b(device, *stream, d.classes);
  const Buffer record = device.allocate(sizeof(LaneRecord), "a test");
  const float* parameters[] = {w.data(), b.data()};
  float* d_parameters[] = {d_w.data(), d_b.data()};
  head->pack(parameters, packed.data(), stream.get());
  HeadArgs args{input.data(), reinterpret_cast<const std::int32_t*>(labels.data()), valid,
                parameters, packed.data()};
  if (gradients) args.d_x = d_x.data(), args.d_parameters = d_parameters;
  args.workspace = workspace.data(), args.stream = stream.get();
  head->run(args, make_metrics({"accuracy", "top3", "perplexity"}), record.as<LaneRecord>());
  stream->synchronize();
  HeadResult result;
  device.copy(&result.record, record.data(), sizeof(LaneRecord), *stream);
  stream->synchronize();
  workspace.host();
  if (!gradients) return result;
  result.d_x = d_x.host(), result.d_w = d_w.host();
  if (d.bias) result.d_b = d_b.host();
  return result;
}

// block: rows of logits that exist at a time on the cuda device, or as many as it likes.
void check(const LinearCrossEntropy& d, std::int64_t valid, std::int64_t block = 0) {
  SCOPED_TRACE(testing::Message() << d.rows << " x " << d.in << " to " << d.classes << ", " << valid
                                  << " valid");
  const bool bf16 = d.precision == Precision::kBf16;
  const double tolerance = bf16 ? 4e-3 : 3e-6;
  const auto on_cuda = block > 0 ? make_cuda(cuda_device(), d, block * 4 * d.classes)
                                 : make_loss_head(cuda_device(), d);
  const auto on_cpu = make_loss_head(cpu_device(), d);
  const HeadResult cuda = run_head(cuda_device(), on_cuda.get(), d, valid);
  const HeadResult cpu = run_head(cpu_device(), on_cpu.get(), d, valid);
  EXPECT_NEAR(cuda.record.sums[0], cpu.record.sums[0], tolerance * valid);
  EXPECT_EQ(cuda.record.counts, cpu.record.counts);
  expect_agree(cuda.d_x, cpu.d_x, tolerance, "d_x");
  expect_agree(cuda.d_w, cpu.d_w, tolerance, "d_w");
  expect_agree(cuda.d_b, cpu.d_b, tolerance, "d_b");
  const HeadResult evaluated = run_head(cuda_device(), on_cuda.get(), d, valid, false);
  EXPECT_EQ(evaluated.record.sums[0], cuda.record.sums[0]);
  EXPECT_EQ(evaluated.record.counts, cuda.record.counts);
}

TEST(CudaLossHead, agrees_with_the_cpu) {
  for (const Precision p : {Precision::kFp32, Precision::kBf16})
    for (const bool bias : {false, true}) {
      check({.rows = 37, .in = 24, .classes = 40, .bias = bias, .precision = p}, 37);
      check({.rows = 5, .in = 7, .classes = 33, .bias = bias, .precision = p}, 3);
      check({.rows = 4, .in = 8, .classes = 8, .bias = bias, .precision = p}, 0);
    }
}

TEST(CudaLossHead, adds_blocks_in_order) {
  for (const Precision p : {Precision::kFp32, Precision::kBf16})
    for (const std::int64_t valid : shapes_to_try<std::int64_t>({300, 280, 256, 131, 90}, {131}))
      check({.rows = 300, .in = 8, .classes = 9, .bias = true, .precision = p}, valid, 128);
}

}  // namespace
}  // namespace lockstep::ops
