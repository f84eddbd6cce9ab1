// Max and average pooling over 1 to 3 spatial dimensions, channels innermost. Padding is never a
// maximum and never counted. Knows nothing of ops.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace lockstep::kernels {

// Outermost dimension first; a missing one has extent 1, kernel 1, stride 1. Positions (samples
// times space) are below 2^31 on both sides.
struct PoolShape {
  int samples = 0, channels = 0;
  int in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
  int stride[3] = {1, 1, 1}, padding[3] = {0, 0, 0};
  bool leaky = false;  // max: leaky relu of the maximum
  float slope = 0;
  int window() const { return kernel[0] * kernel[1] * kernel[2]; }
  int winner_bytes() const { return window() <= 256 ? 1 : 4; }
};

// The first maximum in window order wins, or the first NaN. winners (null: not kept): its place in
// the window, padding included, of winner_bytes() for each output. Moves 4 bytes an input and 5 an
// output (inputs of overlapping windows come from cache); a comparison a place.
template <class T>
void max_pool(const PoolShape& s, const T* x, T* y, void* winners, cudaStream_t stream);
// dx = the gradients of the windows that an input won, added in the order of the windows from +0;
// every input gathers its own. y is read if leaky. Moves 5 bytes an output (9 if leaky), 4 an
// input.
template <class T>
void max_pool_backward(const PoolShape& s, const T* dy, const T* y, const void* winners, T* dx,
                       cudaStream_t stream);

// Means over the places inside; sums in fp32, in window order, or, for windows of 32 places and
// more, of eight interleaved parts. Moves 4 bytes an input and 4 an output; an addition a place.
template <class T>
void average_pool(const PoolShape& s, const T* x, T* y, cudaStream_t stream);
template <class T>
void average_pool_backward(const PoolShape& s, const T* dy, T* dx, cudaStream_t stream);

// One thread an output (forward) or an input (backward), place after place.
void max_pool_reference(const PoolShape& s, const float* x, float* y, void* winners,
                        cudaStream_t stream);
void average_pool_reference(const PoolShape& s, const float* x, float* y, cudaStream_t stream);

}  // namespace lockstep::kernels
