#include <algorithm>

#include "lockstep/core/isa.h"
#include "lockstep/ops/precision.h"
#include "ops/cpu/convolution_direct.h"
#include "ops/cpu/make.h"

namespace lockstep::ops {
namespace {

constexpr std::int64_t kFloat = sizeof(float);

std::int64_t product(const std::int64_t (&extents)[3]) {
  return extents[0] * extents[1] * extents[2];
}

// A multiple-free cut: the largest divisor of n that is at most `most`.
std::int64_t divisor(std::int64_t n, std::int64_t most) {
  std::int64_t d = std::clamp<std::int64_t>(most, 1, n);
  while (n % d != 0) --d;
  return d;
}

ConvGradient gradient_of(const Convolution& c) {
  const Shape out = output_shape(c);
  const int rank = static_cast<int>(c.kernel.size());
  ConvGradient g;
  g.in_channels = c.input[-1];
  g.out_channels = c.out_channels;
  for (int i = 0; i < rank; ++i) {
    const int d = 3 - rank + i;
    g.in[d] = c.input[i + 1];
    g.out[d] = out[i + 1];
    g.kernel[d] = c.kernel[i];
    g.stride[d] = c.stride[i];
    g.padding[d] = c.padding[i];
  }
  return g;
}

ConvPass forward_pass(const ConvGradient& g) {
  ConvPass pass;
  pass.in_channels = g.in_channels;
  pass.out_channels = g.out_channels;
  for (int d = 0; d < 3; ++d) {
    pass.in[d] = g.in[d];
    pass.out[d] = pass.written[d] = g.out[d];
    pass.kernel[d] = g.kernel[d];
    pass.stride[d] = g.stride[d];
    pass.padding[d] = g.padding[d];
  }
  return pass;
}

// Input position i = j s + r gets dy[o] w[k] for all k with o s = i + padding - k, which are the
// k = r + padding modulo s: for each remainder r a correlation over dy with every s-th tap in
// reverse, of stride 1.
ConvPass data_pass(const ConvGradient& g, const std::int64_t (&remainder)[3]) {
  ConvPass pass;
  pass.in_channels = g.out_channels;
  pass.out_channels = g.in_channels;
  for (int d = 0; d < 3; ++d) {
    const std::int64_t s = g.stride[d], r = remainder[d], k = g.kernel[d];
    pass.in[d] = g.out[d];
    pass.written[d] = g.in[d];
    pass.out[d] = (g.in[d] - r + s - 1) / s;
    pass.out_step[d] = s;
    pass.out_offset[d] = r;
    const std::int64_t first = (r + g.padding[d]) % s;
    pass.kernel[d] = first < k ? (k - first + s - 1) / s : 0;
    const std::int64_t last = first + (pass.kernel[d] - 1) * s;
    pass.tap_first[d] = last;
    pass.tap_step[d] = -s;
    pass.padding[d] = -(r + g.padding[d] - last) / s;
  }
  return pass;
}

bool reaches(const ConvPass& pass) {
  const std::int64_t taps = pass.kernel[2], s = pass.stride[2], padding = pass.padding[2];
  if (taps == 0) return true;  // zeros
  if (taps > 3 || s > 2 || (taps == 2 && s == 2) || padding >= taps) return false;
  return (pass.out[2] - 1) * s - padding < pass.in[2];  // of every position some tap lies inside
}

// Words and blocks. A chunk of the weights of a block of output channels and the rows of a tile lie
// in the second-level cache (1 MB here).
void cut(ConvPass& pass, std::int64_t depth, std::int64_t& packed_floats) {
  constexpr std::int64_t kChunkBytes = 192 << 10, kTileBytes = 512 << 10, kNarrow = 4;
  const std::int64_t vectors = (pass.out_channels + 15) / 16, taps = product(pass.kernel);
  pass.in_channels = (pass.in_channels + depth - 1) / depth;
  const bool narrow = vectors % 4 == 0 && pass.out[2] <= kNarrow;
  pass.vectors = narrow ? 4 : std::min<std::int64_t>(vectors, 2);
  const std::int64_t channel_bytes = std::max<std::int64_t>(taps, 1) * pass.vectors * 16 * kFloat;
  const std::int64_t fit = std::max<std::int64_t>(kChunkBytes / channel_bytes, 8);
  const std::int64_t chunks = (pass.in_channels + fit - 1) / fit;
  pass.chunk = (pass.in_channels + chunks - 1) / chunks;
  const std::int64_t row_bytes =
      kFloat * (pass.in[2] * pass.in_channels * pass.stride[1] + pass.out[2] * pass.out_channels);
  pass.tile_rows = std::max<std::int64_t>(kTileBytes / row_bytes, 1);
  pass.packed_begin = packed_floats;
  packed_floats += vectors * 16 * taps * chunks * pass.chunk;
}

// A set is long, so that reading and writing the weight gradient once a set does not count, and its
// strip of output channels stays close.
void cut_sets(const ConvGradient& g, std::int64_t samples, DirectPlan& plan) {
  constexpr std::int64_t kPositions = 512, kSetBytes = 768 << 10;
  const std::int64_t sample = product(g.out), plane = g.out[1] * g.out[2];
  const std::int64_t position_bytes =
      kFloat * (g.out_channels + g.in_channels * g.stride[0] * g.stride[1] * g.stride[2]);
  const std::int64_t most = std::clamp<std::int64_t>(kSetBytes / position_bytes, 64, kPositions);
  plan.positions = sample;
  plan.part_samples = divisor(samples, most / sample);
  if (sample <= most) {
    plan.part_sets = {{plan.part_samples, 0, g.out[0], 0, g.out[1]}};
    return;
  }
  const std::int64_t planes = std::max<std::int64_t>(most / plane, 1);
  const std::int64_t rows = plane <= most ? g.out[1] : std::max<std::int64_t>(most / g.out[2], 1);
  for (std::int64_t d = 0; d < g.out[0]; d += planes) {
    for (std::int64_t h = 0; h < g.out[1]; h += rows) {
      plan.part_sets.push_back(
          {1, d, std::min(planes, g.out[0] - d), h, std::min(rows, g.out[1] - h)});
    }
  }
}

std::optional<DirectPlan> direct_plan(const Convolution& c, bool bf16) {
  const auto dense = [](const std::vector<std::int64_t>& dilation) {
    return std::all_of(dilation.begin(), dilation.end(), [](std::int64_t d) { return d == 1; });
  };
  if (isa() != Isa::kAvx512 || c.groups != 1 || !dense(c.dilation)) return std::nullopt;
  const ConvGradient g = gradient_of(c);
  const std::int64_t taps = product(g.kernel), taps_of_row = g.kernel[2];
  if (taps > kConvMostTaps || (taps_of_row != 1 && taps_of_row != 3)) return std::nullopt;

  DirectPlan plan;
  plan.bf16 = bf16;
  plan.gradient = g;
  plan.gradient.pair_words = (g.in[2] + 1) / 2 * 2 + taps_of_row - 2;
  plan.gradient_floats = (g.out_channels + 15) / 16 * 16 * taps * g.in_channels;
  plan.forward = forward_pass(g);
  if (!reaches(plan.forward)) return std::nullopt;
  const std::int64_t depth = bf16 ? 2 : 1;
  cut(plan.forward, depth, plan.packed_floats);
  const std::int64_t out_stride = g.in_channels * taps;
  plan.forward_weights = {g.in_channels, out_stride, taps, {g.kernel[0], g.kernel[1], g.kernel[2]}};
  plan.data_weights = {g.out_channels, taps, out_stride, {g.kernel[0], g.kernel[1], g.kernel[2]}};
  std::int64_t r[3];
  for (r[0] = 0; c.need_d_input && r[0] < std::min(g.stride[0], g.in[0]); ++r[0]) {
    for (r[1] = 0; r[1] < std::min(g.stride[1], g.in[1]); ++r[1]) {
      for (r[2] = 0; r[2] < std::min(g.stride[2], g.in[2]); ++r[2]) {
        plan.data.push_back(data_pass(g, r));
        if (!reaches(plan.data.back())) return std::nullopt;
        cut(plan.data.back(), depth, plan.packed_floats);
      }
    }
  }
  cut_sets(g, c.input[0], plan);
  return plan;
}

}  // namespace

std::optional<DirectPlan> direct_plan(const Convolution& c) {
  return direct_plan(c, c.precision == Precision::kBf16 && bf16_pays_on_cpu(c));
}

// Measured against fp32 (Zen 5): 1.5 to 1.9 times the speed where channels are not few. The bf16
// kernels know no stride of the last dimension.
bool bf16_pays_on_cpu(const Convolution& c) {
  constexpr std::int64_t kFewChannels = 4;
  return has_bf16_arithmetic() && c.stride.back() == 1 && c.input[-1] >= kFewChannels &&
         direct_plan(c, true).has_value();
}

}  // namespace lockstep::ops
