// Windows of pooling on the device: which inputs a window covers, and which windows cover an input.
#pragma once
#include "kernels/common.cuh"
#include "kernels/pool.h"

namespace lockstep::kernels {

// A place on a side of the pool: sample and spatial coordinates.
struct PoolPlace {
  int sample, at[3];
};
__device__ inline PoolPlace place_of(unsigned position, const int (&extent)[3]) {
  PoolPlace p;
  unsigned rest = position / extent[2];
  p.at[2] = static_cast<int>(position - rest * extent[2]);
  position = rest, rest /= extent[1];
  p.at[1] = static_cast<int>(position - rest * extent[1]);
  position = rest, rest /= extent[0];
  p.at[0] = static_cast<int>(position - rest * extent[0]);
  p.sample = static_cast<int>(rest);
  return p;
}
__device__ inline std::int64_t position_of(int sample, int d, int h, int w,
                                           const int (&extent)[3]) {
  return ((static_cast<std::int64_t>(sample) * extent[0] + d) * extent[1] + h) * extent[2] + w;
}

// The part of a window that lies inside the input: [begin, end) by dimension; start: where the
// window itself begins.
struct PoolWindow {
  int sample, start[3], begin[3], end[3];
  __device__ PoolWindow(const PoolShape& s, const PoolPlace& output) : sample(output.sample) {
#pragma unroll
    for (int d = 0; d < 3; ++d) {
      start[d] = output.at[d] * s.stride[d] - s.padding[d];
      begin[d] = max(start[d], 0);
      end[d] = min(start[d] + s.kernel[d], s.in[d]);
    }
  }
  __device__ int places() const {
    return (end[0] - begin[0]) * (end[1] - begin[1]) * (end[2] - begin[2]);
  }
  __device__ int place(const PoolShape& s, int d, int h, int w) const {
    return ((d - start[0]) * s.kernel[1] + h - start[1]) * s.kernel[2] + w - start[2];
  }
  // Calls f(input position, place in the window) in window order.
  template <class F>
  __device__ void each(const PoolShape& s, F f) const {
    for (int d = begin[0]; d < end[0]; ++d)
      for (int h = begin[1]; h < end[1]; ++h)
        for (int w = begin[2]; w < end[2]; ++w)
          f(position_of(sample, d, h, w, s.in), place(s, d, h, w));
  }
  // The same for every `step`th place inside, from `first` on.
  template <class F>
  __device__ void each(const PoolShape& s, int first, int step, F f) const {
    const int width = end[2] - begin[2], height = end[1] - begin[1], count = places();
    for (int i = first; i < count; i += step) {
      const int row = i / width, w = begin[2] + i - row * width;
      const int d = begin[0] + row / height, h = begin[1] + row % height;
      f(position_of(sample, d, h, w, s.in), place(s, d, h, w));
    }
  }
};

// Calls f(output position, place of the input in its window, the window) for the
// windows that cover an input, in their order.
template <class F>
__device__ inline void each_cover(const PoolShape& s, const PoolPlace& input, F f) {
  int first[3], last[3];
#pragma unroll
  for (int d = 0; d < 3; ++d) {
    const int shifted = input.at[d] + s.padding[d], before = shifted - s.kernel[d];
    first[d] = before < 0 ? 0 : before / s.stride[d] + 1;
    last[d] = min(shifted / s.stride[d], s.out[d] - 1);
  }
  for (int d = first[0]; d <= last[0]; ++d)
    for (int h = first[1]; h <= last[1]; ++h)
      for (int w = first[2]; w <= last[2]; ++w) {
        const PoolWindow window(s, {input.sample, {d, h, w}});
        f(position_of(input.sample, d, h, w, s.out),
          window.place(s, input.at[0], input.at[1], input.at[2]), window);
      }
}

// A maximum and its place; none yet: -1.
struct Winner {
  float value = -INFINITY;
  int place = -1;
  // The first maximum stays; a NaN wins over all numbers and stays.
  __device__ void meet(float x, int at) {
    if (place < 0 || (value == value && !(x <= value))) value = x, place = at;
  }
  // Of another part of the same window.
  __device__ void meet(const Winner& other) {
    if (other.place < 0) return;
    const bool nan = value != value, other_nan = other.value != other.value;
    const bool earlier = other.place < place, same = other.value == value || (nan && other_nan);
    const bool larger = other.value > value || (other_nan && !nan);
    if (place < 0 || (same ? earlier : larger)) *this = other;
  }
};

__device__ inline float leaky(float v, float x, const PoolShape& s) {
  return s.leaky && x <= 0 ? __fmul_rn(v, s.slope) : v;
}

}  // namespace lockstep::kernels
