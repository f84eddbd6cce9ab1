// What forward and backward of the row norms share: how a row lies in registers, and sums over it.
#pragma once
#include <cstdint>

#include "kernels/column_tiles.cuh"
#include "kernels/flat_pass.cuh"
#include "kernels/row_norm.h"

namespace lockstep::kernels {

// Up to 1024 channels a warp has a row and a block has 4 rows; up to 8192 a block of 256 has a row.
constexpr int kRowsOfBlock = 4, kWideThreads = 256;
constexpr int kMostChannels = 8192;

template <int kRowThreads>
constexpr int kRowBlock = kRowThreads == kWarp ? kWarp* kRowsOfBlock : kRowThreads;
template <int kRowThreads>
constexpr int kRowGroups = kRowBlock<kRowThreads> / kRowThreads;

// Sums over the threads of a row, the same bits in each. Calls alternate between the two halves of
// the scratch, so that one barrier a call is enough.
template <int kRowThreads>
struct RowSums {
  float (*scratch)[2][kRowThreads / kWarp];
  int turn = 0;

  __device__ void operator()(float& a, float& b) {
    a = warp_sum(a), b = warp_sum(b);
    if constexpr (kRowThreads > kWarp) {
      const int warp = threadIdx.x / kWarp, warp_lane = threadIdx.x % kWarp;
      auto& sums = scratch[turn];
      turn ^= 1;
      if (warp_lane == 0) sums[0][warp] = a, sums[1][warp] = b;
      __syncthreads();
      const bool mine = warp_lane < kRowThreads / kWarp;
      a = warp_sum(mine ? sums[0][warp_lane] : 0.0f);
      b = warp_sum(mine ? sums[1][warp_lane] : 0.0f);
    }
  }
};

// mean, rstd and offset of a row: x^ = (x - mean) rstd + offset.
struct RowScale {
  float mean, rstd, offset;

  template <bool layer>
  __device__ static RowScale of(const float* saved, std::int64_t row) {
    if constexpr (layer) return {saved[3 * row], saved[3 * row + 1], saved[3 * row + 2]};
    return {0, saved[row], 0};
  }
  template <bool layer>
  __device__ void keep(float* saved, std::int64_t row) const {
    if constexpr (layer) {
      saved[3 * row] = mean, saved[3 * row + 1] = rstd, saved[3 * row + 2] = offset;
    } else {
      saved[row] = rstd;
    }
  }
  template <bool layer>
  __device__ float hat(float x) const {
    if constexpr (layer) return fmaf(x - mean, rstd, offset);
    return x * rstd;
  }
};

// From the sums of the deviations d from mean and of their squares (RMS: of the squares alone).
template <bool layer>
__device__ inline RowScale row_scale(float mean, float sum_d, float sum_d2, float channels,
                                     float epsilon) {
  const float rest = layer ? sum_d / channels : 0.0f;
  float variance = fmaf(-rest, rest, sum_d2 / channels);
  if (variance < 0.0f) variance = 0.0f;
  const float rstd = 1.0f / sqrtf(variance + epsilon);
  return {mean, rstd, -rest * rstd};
}

// Calls run(width of a row in threads, packs of a thread) as integral constants for rows that fit
// registers; false if they do not. kPer: elements of a pack; a thread holds at most 32.
template <int kThreads, int kPacks>
struct RowForm {
  static constexpr int kRowThreads = kThreads, kRowPacks = kPacks;
};
template <int kPer, class Run>
bool with_row_form(std::int64_t channels, Run run) {
  if (channels % kPer != 0 || channels > kMostChannels) return false;
  const std::int64_t packs = channels / kPer;
  const auto fits = [&](int threads, int each) { return packs <= threads * each; };
  if (fits(kWarp, 1)) return run(RowForm<kWarp, 1>()), true;
  if (fits(kWarp, 2)) return run(RowForm<kWarp, 2>()), true;
  if constexpr (kPer == 4) {
    if (fits(kWarp, 4)) return run(RowForm<kWarp, 4>()), true;
    if (fits(kWarp, 6)) return run(RowForm<kWarp, 6>()), true;
    if (fits(kWarp, 8)) return run(RowForm<kWarp, 8>()), true;
    if (fits(kWideThreads, 2)) return run(RowForm<kWideThreads, 2>()), true;
    if (fits(kWideThreads, 4)) return run(RowForm<kWideThreads, 4>()), true;
    return run(RowForm<kWideThreads, 8>()), true;
  } else {
    if (fits(kWarp, 3)) return run(RowForm<kWarp, 3>()), true;
    if (fits(kWarp, 4)) return run(RowForm<kWarp, 4>()), true;
    if (fits(kWideThreads, 1)) return run(RowForm<kWideThreads, 1>()), true;
    if (fits(kWideThreads, 2)) return run(RowForm<kWideThreads, 2>()), true;
    return run(RowForm<kWideThreads, 4>()), true;
  }
}

}  // namespace lockstep::kernels
