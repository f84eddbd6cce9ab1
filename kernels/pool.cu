#include "kernels/launch.h"
#include "kernels/pool.cuh"

namespace lockstep::kernels {
namespace {

constexpr int kThreads = 256;
// Windows from here on are shared by kParts warps: with a thread a window, global pooling would
// leave most of the device without work.
constexpr int kLargeWindow = 32;
constexpr int kParts = 8;

// A thread block is x threads along the channels by y positions.
struct Tiling {
  dim3 threads, blocks;
  Tiling(std::int64_t positions, int packs) {
    unsigned x = 1;
    while (x < kThreads && static_cast<int>(x) < packs) x *= 2;
    threads = dim3(x, kThreads / x);
    blocks = dim3(static_cast<unsigned>(blocks_for(positions, threads.y)),
                  static_cast<unsigned>(blocks_for(packs, x)));
  }
};
__device__ inline unsigned tile_position() { return blockIdx.x * blockDim.y + threadIdx.y; }
__device__ inline int tile_pack() {
  return static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
}

template <class T, class W, int N>
__global__ void __launch_bounds__(kThreads, 4)
    max_pool_kernel(PoolShape s, unsigned positions, const T* x, T* y, W* winners) {
  const unsigned position = tile_position();
  const int channel = N * tile_pack();
  if (position >= positions || channel >= s.channels) return;
  Winner best[N];
  PoolWindow(s, place_of(position, s.out)).each(s, [&](std::int64_t at, int place) {
    const auto values = load<Pack<T, N>>(x + at * s.channels + channel);
#pragma unroll
    for (int k = 0; k < N; ++k) best[k].meet(to_float(values.at[k]), place);
  });
  const std::int64_t to = static_cast<std::int64_t>(position) * s.channels + channel;
  Pack<T, N> values;
  Pack<W, N> places;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    values.at[k] = from_float<T>(leaky(best[k].value, best[k].value, s));
    places.at[k] = static_cast<W>(best[k].place);
  }
  store(y + to, values);
  if (winners != nullptr) store(winners + to, places);
}

// A warp takes 32 channels of every kParts-th place of one window.
template <class T, class W>
__global__ void __launch_bounds__(kThreads, 4)
    large_max_pool_kernel(PoolShape s, const T* x, T* y, W* winners) {
  __shared__ Winner parts[kParts][kWarp];
  const int channel = static_cast<int>(blockIdx.y * kWarp + threadIdx.x);
  Winner best;
  if (channel < s.channels) {
    const PoolWindow window(s, place_of(blockIdx.x, s.out));
    window.each(s, threadIdx.y, kParts, [&](std::int64_t at, int place) {
      best.meet(to_float(x[at * s.channels + channel]), place);
    });
  }
  parts[threadIdx.y][threadIdx.x] = best;
  __syncthreads();
  if (threadIdx.y > 0 || channel >= s.channels) return;
  for (int part = 1; part < kParts; ++part) best.meet(parts[part][threadIdx.x]);
  const std::int64_t to = static_cast<std::int64_t>(blockIdx.x) * s.channels + channel;
  y[to] = from_float<T>(leaky(best.value, best.value, s));
  if (winners != nullptr) winners[to] = static_cast<W>(best.place);
}

template <class T, class W, int N>
__global__ void __launch_bounds__(kThreads, 4)
    max_pool_backward_kernel(PoolShape s, unsigned positions, const T* dy, const T* y,
                             const W* winners, T* dx) {
  const unsigned position = tile_position();
  const int channel = N * tile_pack();
  if (position >= positions || channel >= s.channels) return;
  float sum[N] = {};
  each_cover(s, place_of(position, s.in), [&](std::int64_t at, int place, const PoolWindow&) {
    const std::int64_t from = at * s.channels + channel;
    const auto places = load<Pack<W, N>>(winners + from);
    const auto gradients = load<Pack<T, N>>(dy + from);
    Pack<T, N> outputs{};
    if (s.leaky) outputs = load<Pack<T, N>>(y + from);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (static_cast<int>(places.at[k]) == place)
        sum[k] += leaky(to_float(gradients.at[k]), to_float(outputs.at[k]), s);
    }
  });
  Pack<T, N> result;
#pragma unroll
  for (int k = 0; k < N; ++k) result.at[k] = from_float<T>(sum[k]);
  store(dx + static_cast<std::int64_t>(position) * s.channels + channel, result);
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads, 4)
    average_pool_kernel(PoolShape s, unsigned positions, const T* x, T* y) {
  const unsigned position = tile_position();
  const int channel = N * tile_pack();
  if (position >= positions || channel >= s.channels) return;
  const PoolWindow window(s, place_of(position, s.out));
  float sum[N] = {};
  window.each(s, [&](std::int64_t at, int) {
    const auto values = load<Pack<T, N>>(x + at * s.channels + channel);
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] += to_float(values.at[k]);
  });
  const auto count = static_cast<float>(window.places());
  Pack<T, N> result;
#pragma unroll
  for (int k = 0; k < N; ++k) result.at[k] = from_float<T>(sum[k] / count);
  store(y + static_cast<std::int64_t>(position) * s.channels + channel, result);
}

template <class T>
__global__ void __launch_bounds__(kThreads, 4)
    large_average_pool_kernel(PoolShape s, const T* x, T* y) {
  __shared__ float parts[kParts][kWarp];
  const int channel = static_cast<int>(blockIdx.y * kWarp + threadIdx.x);
  const PoolWindow window(s, place_of(blockIdx.x, s.out));
  float sum = 0;
  if (channel < s.channels) {
    window.each(s, threadIdx.y, kParts,
                [&](std::int64_t at, int) { sum += to_float(x[at * s.channels + channel]); });
  }
  parts[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || channel >= s.channels) return;
  for (int part = 1; part < kParts; ++part) sum += parts[part][threadIdx.x];
  y[static_cast<std::int64_t>(blockIdx.x) * s.channels + channel] =
      from_float<T>(sum / static_cast<float>(window.places()));
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads, 4)
    average_pool_backward_kernel(PoolShape s, unsigned positions, const T* dy, T* dx) {
  const unsigned position = tile_position();
  const int channel = N * tile_pack();
  if (position >= positions || channel >= s.channels) return;
  float sum[N] = {};
  each_cover(s, place_of(position, s.in), [&](std::int64_t at, int, const PoolWindow& window) {
    const auto count = static_cast<float>(window.places());
    const auto gradients = load<Pack<T, N>>(dy + at * s.channels + channel);
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] += to_float(gradients.at[k]) / count;
  });
  Pack<T, N> result;
#pragma unroll
  for (int k = 0; k < N; ++k) result.at[k] = from_float<T>(sum[k]);
  store(dx + static_cast<std::int64_t>(position) * s.channels + channel, result);
}

__global__ void max_pool_naive(PoolShape s, std::int64_t elements, const float* x, float* y,
                               void* winners) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= elements) return;
  const auto position = static_cast<unsigned>(i / s.channels);
  Winner best;
  PoolWindow(s, place_of(position, s.out)).each(s, [&](std::int64_t at, int place) {
    best.meet(x[at * s.channels + i % s.channels], place);
  });
  y[i] = leaky(best.value, best.value, s);
  if (winners == nullptr) return;
  if (s.kernel[0] * s.kernel[1] * s.kernel[2] <= 256) {
    static_cast<std::uint8_t*>(winners)[i] = static_cast<std::uint8_t>(best.place);
  } else {
    static_cast<std::uint32_t*>(winners)[i] = static_cast<std::uint32_t>(best.place);
  }
}

__global__ void average_pool_naive(PoolShape s, std::int64_t elements, const float* x, float* y) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= elements) return;
  const PoolWindow window(s, place_of(static_cast<unsigned>(i / s.channels), s.out));
  float sum = 0;
  window.each(s, [&](std::int64_t at, int) { sum += x[at * s.channels + i % s.channels]; });
  y[i] = sum / static_cast<float>(window.places());
}

std::int64_t positions_of(const PoolShape& s, const int (&extent)[3]) {
  return static_cast<std::int64_t>(s.samples) * extent[0] * extent[1] * extent[2];
}

// Whether rows of channels can be read in packs of 16 bytes of T.
template <class T>
bool packs(const PoolShape& s, const void* a, const void* b) {
  const auto places = reinterpret_cast<std::uintptr_t>(a) | reinterpret_cast<std::uintptr_t>(b) |
                      s.channels * sizeof(T);
  return places % 16 == 0;
}

template <class T>
constexpr int kPack = 16 / sizeof(T);

dim3 large_blocks(const PoolShape& s) {
  return dim3(static_cast<unsigned>(positions_of(s, s.out)),
              static_cast<unsigned>(blocks_for(s.channels, kWarp)));
}

template <class T, class W>
void max_pool_as(const PoolShape& s, const T* x, T* y, W* winners, cudaStream_t stream) {
  const std::int64_t positions = positions_of(s, s.out);
  const auto count = static_cast<unsigned>(positions);
  if (s.window() >= kLargeWindow) {
    large_max_pool_kernel<<<large_blocks(s), dim3(kWarp, kParts), 0, stream>>>(s, x, y, winners);
  } else if (packs<T>(s, x, y)) {
    const Tiling t(positions, s.channels / kPack<T>);
    max_pool_kernel<T, W, kPack<T>><<<t.blocks, t.threads, 0, stream>>>(s, count, x, y, winners);
  } else {
    const Tiling t(positions, s.channels);
    max_pool_kernel<T, W, 1><<<t.blocks, t.threads, 0, stream>>>(s, count, x, y, winners);
  }
  check_launch("max_pool");
}

template <class T, class W>
void max_pool_backward_as(const PoolShape& s, const T* dy, const T* y, const W* winners, T* dx,
                          cudaStream_t stream) {
  const std::int64_t positions = positions_of(s, s.in);
  const auto count = static_cast<unsigned>(positions);
  if (packs<T>(s, dy, dx)) {
    const Tiling t(positions, s.channels / kPack<T>);
    max_pool_backward_kernel<T, W, kPack<T>>
        <<<t.blocks, t.threads, 0, stream>>>(s, count, dy, y, winners, dx);
  } else {
    const Tiling t(positions, s.channels);
    max_pool_backward_kernel<T, W, 1>
        <<<t.blocks, t.threads, 0, stream>>>(s, count, dy, y, winners, dx);
  }
  check_launch("max_pool_backward");
}

}  // namespace

template <class T>
void max_pool(const PoolShape& s, const T* x, T* y, void* winners, cudaStream_t stream) {
  if (s.winner_bytes() == 1) {
    max_pool_as(s, x, y, static_cast<std::uint8_t*>(winners), stream);
  } else {
    max_pool_as(s, x, y, static_cast<std::uint32_t*>(winners), stream);
  }
}

template <class T>
void max_pool_backward(const PoolShape& s, const T* dy, const T* y, const void* winners, T* dx,
                       cudaStream_t stream) {
  if (s.winner_bytes() == 1) {
    max_pool_backward_as(s, dy, y, static_cast<const std::uint8_t*>(winners), dx, stream);
  } else {
    max_pool_backward_as(s, dy, y, static_cast<const std::uint32_t*>(winners), dx, stream);
  }
}

template <class T>
void average_pool(const PoolShape& s, const T* x, T* y, cudaStream_t stream) {
  const std::int64_t positions = positions_of(s, s.out);
  const auto count = static_cast<unsigned>(positions);
  if (s.window() >= kLargeWindow) {
    large_average_pool_kernel<<<large_blocks(s), dim3(kWarp, kParts), 0, stream>>>(s, x, y);
  } else if (packs<T>(s, x, y)) {
    const Tiling t(positions, s.channels / kPack<T>);
    average_pool_kernel<T, kPack<T>><<<t.blocks, t.threads, 0, stream>>>(s, count, x, y);
  } else {
    const Tiling t(positions, s.channels);
    average_pool_kernel<T, 1><<<t.blocks, t.threads, 0, stream>>>(s, count, x, y);
  }
  check_launch("average_pool");
}

template <class T>
void average_pool_backward(const PoolShape& s, const T* dy, T* dx, cudaStream_t stream) {
  const std::int64_t positions = positions_of(s, s.in);
  const auto count = static_cast<unsigned>(positions);
  if (packs<T>(s, dy, dx)) {
    const Tiling t(positions, s.channels / kPack<T>);
    average_pool_backward_kernel<T, kPack<T>><<<t.blocks, t.threads, 0, stream>>>(s, count, dy, dx);
  } else {
    const Tiling t(positions, s.channels);
    average_pool_backward_kernel<T, 1><<<t.blocks, t.threads, 0, stream>>>(s, count, dy, dx);
  }
  check_launch("average_pool_backward");
}

template void max_pool(const PoolShape&, const float*, float*, void*, cudaStream_t);
template void max_pool(const PoolShape&, const __nv_bfloat16*, __nv_bfloat16*, void*, cudaStream_t);
template void max_pool_backward(const PoolShape&, const float*, const float*, const void*, float*,
                                cudaStream_t);
template void max_pool_backward(const PoolShape&, const __nv_bfloat16*, const __nv_bfloat16*,
                                const void*, __nv_bfloat16*, cudaStream_t);
template void average_pool(const PoolShape&, const float*, float*, cudaStream_t);
template void average_pool(const PoolShape&, const __nv_bfloat16*, __nv_bfloat16*, cudaStream_t);
template void average_pool_backward(const PoolShape&, const float*, float*, cudaStream_t);
template void average_pool_backward(const PoolShape&, const __nv_bfloat16*, __nv_bfloat16*,
                                    cudaStream_t);

void max_pool_reference(const PoolShape& s, const float* x, float* y, void* winners,
                        cudaStream_t stream) {
  const std::int64_t elements = positions_of(s, s.out) * s.channels;
  const auto blocks = static_cast<unsigned>(blocks_for(elements, kThreads));
  max_pool_naive<<<blocks, kThreads, 0, stream>>>(s, elements, x, y, winners);
  check_launch("max_pool_reference");
}

void average_pool_reference(const PoolShape& s, const float* x, float* y, cudaStream_t stream) {
  const std::int64_t elements = positions_of(s, s.out) * s.channels;
  const auto blocks = static_cast<unsigned>(blocks_for(elements, kThreads));
  average_pool_naive<<<blocks, kThreads, 0, stream>>>(s, elements, x, y);
  check_launch("average_pool_reference");
}

}  // namespace lockstep::kernels
