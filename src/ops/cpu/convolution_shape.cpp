#include "ops/cpu/convolution_shape.h"

#include <algorithm>

#include "lockstep/core/isa.h"

namespace lockstep::ops {
namespace {

using Tag = dnnl::memory::format_tag;

// oneDNN names extents [N, C, spatial...] whatever their order in memory.
dnnl::memory::dims channels_second(const Shape& s) {
  dnnl::memory::dims dims = {s[0], s[-1]};
  for (int i = 1; i + 1 < s.rank(); ++i) dims.push_back(s[i]);
  return dims;
}

}  // namespace

std::int64_t part_of(const Convolution& c) {
  constexpr std::int64_t kPartBytes = 1 << 20;
  const std::int64_t samples = c.input[0];
  const Shape y = output_shape(c);
  const auto bytes = static_cast<std::int64_t>(sizeof(float)) * (c.input.elements() + y.elements());
  std::int64_t weights =
      static_cast<std::int64_t>(sizeof(float)) * c.out_channels * c.input[-1] / c.groups;
  for (const std::int64_t k : c.kernel) weights *= k;
  const std::int64_t fits = std::clamp<std::int64_t>(kPartBytes * samples / bytes, 1, samples);
  std::int64_t part = fits;
  while (samples % part != 0) --part;
  return part * 2 <= fits || 2 * weights * samples > part * bytes ? samples : part;
}

ConvolutionLayouts::ConvolutionLayouts(const Convolution& c) {
  constexpr Tag kActivations[] = {Tag::nwc, Tag::nhwc, Tag::ndhwc};
  constexpr Tag kWeights[] = {Tag::oiw, Tag::oihw, Tag::oidhw};
  constexpr Tag kGroupedWeights[] = {Tag::goiw, Tag::goihw, Tag::goidhw};
  const auto rank = c.kernel.size();
  x = dense(channels_second(c.input), kActivations[rank - 1]);
  y = dense(channels_second(output_shape(c)), kActivations[rank - 1]);
  Dims w = {c.out_channels / c.groups, c.input[-1] / c.groups};
  if (c.groups > 1) w.insert(w.begin(), c.groups);
  w.insert(w.end(), c.kernel.begin(), c.kernel.end());
  flat = dense(w, (c.groups > 1 ? kGroupedWeights : kWeights)[rank - 1]);
  any = dense(w, Tag::any);
  if (c.groups == 1) {
    std::swap(w[0], w[1]);
    flat_flipped = dense(w, kWeights[rank - 1]);
    any_flipped = dense(w, Tag::any);
  }
  bias = c.bias ? dense({c.out_channels}, Tag::a) : Layout();
  stride = c.stride;
  padding = c.padding;
  for (const std::int64_t d : c.dilation) gaps.push_back(d - 1);
  for (std::size_t d = 0; d < c.kernel.size(); ++d)
    flipped_padding.push_back(c.kernel[d] - 1 - c.padding[d]);
}

bool forward_by_data_kernel(const Convolution& c) {
  constexpr std::int64_t kFewChannels = 32;
  const auto all = [](const std::vector<std::int64_t>& v, auto holds) {
    return std::all_of(v.begin(), v.end(), holds);
  };
  bool fits = isa() == Isa::kAvx512 && c.groups == 1 && !c.bias &&
              std::max(c.input[-1], c.out_channels) <= kFewChannels;
  for (std::size_t d = 0; d < c.kernel.size(); ++d) fits = fits && c.padding[d] < c.kernel[d];
  const auto one = [](std::int64_t n) { return n == 1; };
  return fits && all(c.stride, one) && all(c.dilation, one) && !all(c.kernel, one);
}

void transpose_and_flip(const Convolution& c, float* to, const float* from) {
  const std::int64_t out = c.out_channels, in = c.input[-1];
  std::int64_t places = 1;
  for (const std::int64_t k : c.kernel) places *= k;
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t i = 0; i < in; ++i) {
      const float* const kernel = from + (o * in + i) * places;
      std::reverse_copy(kernel, kernel + places, to + (i * out + o) * places);
    }
  }
}

}  // namespace lockstep::ops
