// Convolutions in fp32, every sum in one order: samples, places of the output, places of the
// kernel, channels; backwards: samples and places from the last to the first.
#include <algorithm>

#include "tests/ptx/libraries/cudnn_engines.h"
#include "tests/ptx/libraries/floats.h"

namespace lockstep::stand_in {
namespace {

using Tensor = ConvolutionProblem::Tensor;

// The tensor in fp32, [N, spatial..., C] packed.
struct Packed {
  explicit Packed(const Tensor& t) : of(t) {
    std::size_t elements = 1;
    for (const std::int64_t d : t.dimensions) elements *= d;
    values.resize(elements);
  }
  template <class Each>
  void for_each(Each each) {
    const auto& d = of.dimensions;
    std::size_t i = 0;
    for (std::int64_t n = 0; n < d[0]; ++n)
      for (std::int64_t a = 0; a < d[2]; ++a)
        for (std::int64_t b = 0; b < d[3]; ++b)
          for (std::int64_t c = 0; c < d[4]; ++c)
            for (std::int64_t k = 0; k < d[1]; ++k) each(values[i++], of.at(n, k, a, b, c));
  }
  void read(const void* from, cudnnDataType_t type) {
    for_each([&](float& value, std::int64_t place) {
      value = type == CUDNN_DATA_BFLOAT16
                  ? from_bf16(static_cast<const std::uint16_t*>(from)[place])
                  : static_cast<const float*>(from)[place];
    });
  }
  void write(void* to, cudnnDataType_t type) {
    for_each([&](float& value, std::int64_t place) {
      if (type == CUDNN_DATA_BFLOAT16)
        static_cast<std::uint16_t*>(to)[place] = to_bf16(value);
      else
        static_cast<float*>(to)[place] = value;
    });
  }
  // First channel of a place.
  float* place(std::int64_t n, std::int64_t a, std::int64_t b, std::int64_t c) {
    const auto& d = of.dimensions;
    return values.data() + (((n * d[2] + a) * d[3] + b) * d[4] + c) * d[1];
  }
  const Tensor& of;
  std::vector<float> values;
};

// each(sample, place of y, place of x, place of w), all but those in the padding.
template <class Each>
void for_places(const ConvolutionProblem& p, bool backwards, Each each) {
  const auto &in = p.x.dimensions, &out = p.y.dimensions, &kernel = p.w.dimensions;
  std::array<std::int64_t, 3> o, k, i;
  const auto source = [&](int d) {
    i[d] = o[d] * p.stride[d] - p.padding[d] + k[d] * p.dilation[d];
    return i[d] >= 0 && i[d] < in[d + 2];
  };
  std::int64_t count = in[0];
  for (int d = 0; d < 3; ++d) count *= out[d + 2] * kernel[d + 2];
  for (std::int64_t at = 0; at < count; ++at) {
    std::int64_t rest = backwards ? count - 1 - at : at;
    const auto next = [&](std::int64_t extent) {
      const std::int64_t digit = rest % extent;
      rest /= extent;
      return digit;
    };
    for (int d = 2; d >= 0; --d) k[d] = next(kernel[d + 2]);
    for (int d = 2; d >= 0; --d) o[d] = next(out[d + 2]);
    if (source(0) && source(1) && source(2)) each(rest, o, i, k);
  }
}

}  // namespace

void compute(const ConvolutionProblem& p, const Engine& engine, void* x, void* w, void* y) {
  const bool forward = p.operation == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
  const bool data = p.operation == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
  Packed px(p.x), pw(p.w), py(p.y);
  if (!data) px.read(x, p.type);
  if (forward || data) pw.read(w, p.type);
  if (!forward) py.read(y, p.type);
  const std::int64_t group_in = p.w.dimensions[1], out = p.w.dimensions[0];
  const std::int64_t group_out = out / (p.x.dimensions[1] / group_in);
  for_places(p, engine.backwards, [&](std::int64_t n, const auto& o, const auto& i, const auto& k) {
    float* const to = py.place(n, o[0], o[1], o[2]);
    float* const from = px.place(n, i[0], i[1], i[2]);
    for (std::int64_t c = 0; c < out; ++c) {
      float* const row = from + c / group_out * group_in;
      float* const weights = pw.place(c, k[0], k[1], k[2]);
      if (forward) {
        float sum = 0;
        for (std::int64_t d = 0; d < group_in; ++d) sum += row[d] * weights[d];
        to[c] += sum;
      } else if (data) {
        for (std::int64_t d = 0; d < group_in; ++d) row[d] += to[c] * weights[d];
      } else {
        for (std::int64_t d = 0; d < group_in; ++d) weights[d] += to[c] * row[d];
      }
    }
  });
  Packed& result = forward ? py : data ? px : pw;
  if (engine.spoils)
    for (float& value : result.values) value *= 1.25f;
  result.write(forward ? y : data ? x : w, p.type);
}

}  // namespace lockstep::stand_in
