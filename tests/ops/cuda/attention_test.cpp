// Attention on cuda against the cpu, and with a cache against itself.
#include "lockstep/core/error.h"
#include "ops/cuda/on_device.h"
#include "ops/numbers.h"

namespace lockstep::ops {
namespace {

std::int64_t channels(const Attention& d) { return (d.heads + 2 * d.kv_heads) * d.width; }
std::int64_t outputs(const Attention& d) { return d.samples * d.tokens * d.heads * d.width; }

OpCase case_of(const Attention& d) {
  OpCase c;
  c.inputs = {uniform(d.samples * d.tokens * channels(d), 1, -2, 2)};
  c.outputs = outputs(d);
  if (d.cache == 0) c.d_output = uniform(outputs(d), 2);
  c.random = {.seed = 77, .step = 5, .lane_micro = 3, .op = 9};
  return c;
}

double tolerance_of(const Attention& d) {
  return d.precision == Precision::kBf16 ? 6 * 0x1p-8 : 4e-6;
}

TEST(CudaAttention, is_the_cpus) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    for (const bool causal : shapes_to_try<char>({true, false}, {true})) {
      for (const std::int64_t width : shapes_to_try<std::int64_t>({16, 40, 64}, {16})) {
        const Attention d{.samples = 2,
                          .tokens = tiny() ? 33 : 65,
                          .heads = 4,
                          .kv_heads = width == 40 ? 4 : 2,
                          .width = width,
                          .causal = causal,
                          .rotary = width == 16 ? 0 : 10000.0,
                          .precision = precision};
        expect_cuda_as_cpu(d, case_of(d), tolerance_of(d), "width " + std::to_string(width));
      }
    }
  }
}

TEST(CudaAttention, draws_the_cpus_masks) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    for (const std::int64_t tokens : shapes_to_try<std::int64_t>({33, 68}, {33})) {
      const Attention d{.samples = 2,
                        .tokens = tokens,
                        .heads = 2,
                        .kv_heads = 1,
                        .width = 16,
                        .dropout = 0.4f,
                        .precision = precision};
      OpCase c = case_of(d);
      expect_cuda_as_cpu(d, c, tolerance_of(d), "train, tokens " + std::to_string(tokens));
      c.mode = Mode::kEvaluate;
      c.d_output.clear();
      expect_cuda_as_cpu(d, c, tolerance_of(d), "evaluation");
    }
  }
}

TEST(CudaAttention, only_gives_work_to_its_stream) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const Attention d{.samples = 2,
                      .tokens = 37,
                      .heads = 2,
                      .kv_heads = 1,
                      .width = 24,
                      .rotary = 500,
                      .dropout = 0.1f,
                      .precision = precision};
    OpCase c = case_of(d);
    c.captured = true;
    expect_cuda_as_cpu(d, c, tolerance_of(d), "captured");
    c.wanted = {false};
    expect_cuda_as_cpu(d, c, tolerance_of(d), "nobody needs the gradient");
  }
}

TEST(CudaAttention, takes_heads_that_are_too_wide_for_bf16) {
  const Attention d{.samples = 1,
                    .tokens = 19,
                    .heads = 1,
                    .kv_heads = 1,
                    .width = 144,
                    .precision = Precision::kBf16};
  expect_cuda_as_cpu(d, case_of(d), tolerance_of(d), "width 144");
}

// Tokens of one sequence in pieces of these sizes, by way of the state.
Floats in_pieces(const Attention& whole, const Floats& qkv, std::int64_t cache,
                 const std::vector<std::int64_t>& pieces) {
  Device& device = cuda_device();
  const std::unique_ptr<Stream> stream = device.make_stream();
  std::unique_ptr<DeviceFloats> state;
  Floats all;
  std::int64_t position = 0;
  for (const std::int64_t tokens : pieces) {
    Attention d = whole;
    d.tokens = tokens;
    d.cache = cache;
    const std::unique_ptr<Op> op = make(device, d);
    if (!state) state = std::make_unique<DeviceFloats>(device, *stream, op->state_bytes() / 4);
    const std::int64_t first = position * channels(d);
    const Floats part(qkv.begin() + first, qkv.begin() + first + tokens * channels(d));
    const DeviceFloats x(device, *stream, part), y(device, *stream, outputs(d));
    const DeviceFloats workspace(device, *stream, op->workspace_bytes() / 4);
    const float* const inputs[] = {x.data()};
    Args args;
    args.inputs = inputs;
    args.output = y.data();
    args.workspace = workspace.data();
    args.state = state->data();
    args.position = position;
    args.mode = Mode::kEvaluate;
    args.stream = stream.get();
    op->forward(args);
    const Floats piece = y.host();
    all.insert(all.end(), piece.begin(), piece.end());
    position += tokens;
  }
  state->host();
  return all;
}

TEST(CudaAttention, inference_with_a_cache_has_the_bits_of_the_whole_sequence) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const Attention whole{.samples = 1,
                          .tokens = 90,
                          .heads = 2,
                          .kv_heads = 1,
                          .width = 20,
                          .rotary = 10000,
                          .precision = precision};
    OpCase c = case_of(whole);
    c.d_output.clear();
    c.mode = Mode::kEvaluate;
    const Floats should = run_on(cuda_device(), whole, c).output;
    EXPECT_TRUE(in_pieces(whole, c.inputs[0], 100, {90}) == should);
    EXPECT_TRUE(in_pieces(whole, c.inputs[0], 91, {7, 1, 1, 40, 15, 1, 25}) == should);
  }
}

TEST(CudaAttention, refuses_what_it_cannot_do) {
  EXPECT_THROW(make(cuda_device(), Attention{1, 4, 3, 2, 8}), UserError);
  EXPECT_THROW(make(cuda_device(), Attention{1, 4, 1, 1, 7, true, 10000}), UserError);
  EXPECT_THROW(make(cuda_device(), Attention{1, 4, 1, 1, 8, true, 0, 1.0f}), UserError);
  EXPECT_THROW(make(cuda_device(), Attention{1, 4, 1, 1, 8, true, 0, 0, 3}), UserError);
}

TEST(CudaAttention, costs_what_it_costs_on_the_cpu) {
  const Attention d{.samples = 2, .tokens = 100, .heads = 3, .kv_heads = 1, .width = 8};
  const Cost cuda = make(cuda_device(), d)->cost(), cpu = make(cpu_device(), d)->cost();
  EXPECT_EQ(cuda.forward_flops, cpu.forward_flops);
  EXPECT_EQ(cuda.backward_bytes, cpu.backward_bytes);
}

}  // namespace
}  // namespace lockstep::ops
