// Losses and metrics on a cuda device against the cpu device.
#include "lockstep/ops/loss.h"

#include <limits>

#include "ops/cuda/on_device.h"
#include "ops/numbers.h"

namespace lockstep::ops {
namespace {

struct Batch {
  LossKind kind;
  std::int64_t samples, width, valid;
  std::vector<std::string> metrics;
  Floats outputs{}, targets{};
  std::vector<std::int32_t> labels{};

  // Padding is poisoned: it must not be read.
  void fill() {
    outputs = uniform(samples * width, 1, -5, 5), targets = uniform(samples * width, 2, 0, 1);
    for (float& x : outputs) x = std::round(x * 64) / 64;  // ties
    labels.clear();
    for (std::int64_t n = 0; n < samples; ++n) {
      labels.push_back(n % 4 == 1 ? -1 : static_cast<std::int32_t>(n * 7919 % width));
    }
    std::fill(outputs.begin() + valid * width, outputs.end(), NAN);
    std::fill(targets.begin() + valid * width, targets.end(), NAN);
    std::fill(labels.begin() + valid, labels.end(), 1 << 30);
  }
};

struct Result {
  LaneRecord record;
  Floats d_outputs;
};

// The record holds numbers before.
Result run(Device& device, const Batch& b, bool gradient, bool in_place) {
  const auto stream = device.make_stream();
  const DeviceFloats outputs(device, *stream, b.outputs), targets(device, *stream, b.targets),
      labels(device, *stream, tokens(b.labels)), d(device, *stream, b.outputs.size());
  const auto loss = make(device, LossForm{b.kind, b.samples, b.width, make_metrics(b.metrics)});
  const DeviceFloats workspace(device, *stream, loss->workspace_bytes() / sizeof(float) + 1);
  const Buffer memory = device.allocate(sizeof(LaneRecord), "a test");
  Result result;
  for (int i = 0; i < LaneRecord::kSums; ++i) result.record.sums[i] = i;
  for (int i = 0; i < LaneRecord::kCounts; ++i) result.record.counts[i] = 100 * i;
  device.copy(memory.data(), &result.record, sizeof(LaneRecord), *stream);
  LossArgs args;
  args.samples = b.samples, args.width = b.width, args.valid = b.valid;
  args.outputs = outputs.data();
  if (b.kind == LossKind::kSoftmaxCrossEntropy) {
    args.labels = reinterpret_cast<const std::int32_t*>(labels.data());
  } else {
    args.targets = targets.data();
  }
  float* const to = in_place ? outputs.data() : d.data();
  args.d_outputs = gradient ? to : nullptr;
  loss->run(args, memory.as<LaneRecord>(), workspace.data(), stream.get());
  device.copy(&result.record, memory.data(), sizeof(LaneRecord), *stream);
  stream->synchronize();
  workspace.host();
  if (gradient) result.d_outputs = in_place ? outputs.host() : d.host();
  return result;
}

void expect_agreement(const Batch& b) {
  SCOPED_TRACE(std::string(name_of(b.kind)) + " " + std::to_string(b.samples) + " x " +
               std::to_string(b.width) + ", " + std::to_string(b.valid) + " valid");
  const Result want = run(cpu_device(), b, true, false);
  for (const bool in_place : {false, true}) {
    const Result got = run(cuda_device(), b, true, in_place);
    expect_agree(got.d_outputs, want.d_outputs, 1e-6, "gradient");
    for (int i = 0; i < LaneRecord::kSums; ++i) {
      if (std::isnan(want.record.sums[i])) {
        EXPECT_TRUE(std::isnan(got.record.sums[i])) << i;
      } else {
        const double unit = 1e-6 * (1 + std::abs(want.record.sums[i]));
        EXPECT_NEAR(got.record.sums[i], want.record.sums[i], unit) << i;
      }
    }
    EXPECT_EQ(got.record.counts, want.record.counts);
    const Result evaluated = run(cuda_device(), b, false, in_place);
    for (int i = 0; i < LaneRecord::kSums && !std::isnan(want.record.sums[0]); ++i)
      EXPECT_EQ(evaluated.record.sums[i], got.record.sums[i]) << i;
    EXPECT_EQ(evaluated.record.counts, got.record.counts);
  }
}

TEST(CudaLoss, of_classes_agrees_with_the_cpu) {
  const std::vector<std::string> metrics = {"accuracy", "top5", "perplexity"};
  for (const std::int64_t width :
       shapes_to_try<std::int64_t>({2, 7, 31, 33, 1000, 1024, 1031, 9001}, {7, 1031})) {
    for (const std::int64_t valid : shapes_to_try<std::int64_t>({0, 1, 6, 9}, {6})) {
      Batch b{LossKind::kSoftmaxCrossEntropy, 9, width, valid, metrics};
      b.fill();
      expect_agreement(b);
    }
  }
  if (tiny()) return;
  Batch many{LossKind::kSoftmaxCrossEntropy, 1023, 10, 1009, metrics};
  many.fill();
  expect_agreement(many);
}

TEST(CudaLoss, of_values_agrees_with_the_cpu) {
  for (const LossKind kind : {LossKind::kMse, LossKind::kMae, LossKind::kBinaryCrossEntropy}) {
    std::vector<std::string> metrics = {"mae", "r2"};
    if (kind == LossKind::kBinaryCrossEntropy) metrics.push_back("accuracy");
    for (const std::int64_t width : shapes_to_try<std::int64_t>({1, 7, 33, 1000}, {33})) {
      for (const std::int64_t valid : shapes_to_try<std::int64_t>({0, 1, 6, 9}, {6})) {
        Batch b{kind, 9, width, valid, metrics};
        b.fill();
        expect_agreement(b);
      }
    }
    if (tiny()) continue;
    Batch alone{kind, 1009, 3, 1000, {}};
    alone.fill();
    expect_agreement(alone);
  }
}

TEST(CudaLoss, treats_nan_as_the_cpu) {
  for (const LossKind kind : {LossKind::kSoftmaxCrossEntropy, LossKind::kMse, LossKind::kMae,
                              LossKind::kBinaryCrossEntropy}) {
    const bool accuracy =
        kind == LossKind::kSoftmaxCrossEntropy || kind == LossKind::kBinaryCrossEntropy;
    Batch b{kind, 4, 5, 4, {accuracy ? "accuracy" : "mae"}};
    b.fill();
    b.outputs[3] = NAN;
    b.outputs[11] = std::numeric_limits<float>::infinity();
    expect_agreement(b);
  }
}

}  // namespace
}  // namespace lockstep::ops
