// Inverted dropout (Srivastava et al. 2014) with the masks of the cpu device, bit for bit: element
// e is kept where word e of the key's Philox stream is at least rate * 2^32. No mask is stored.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "lockstep/core/philox.h"

namespace lockstep::kernels {

// Which elements are dropped. rate 0: none, and random is not read.
struct Drop {
  const RandomKey* random = nullptr;  // on the device, as ops::Args::device_random
  std::uint32_t op = 0;               // ops::Args::random.op
  float rate = 0;                     // [0, 1)
};

// y = x scale where kept, else x 0 (NaN and infinity are not hidden), scale = 1 / (1 - rate); n
// elements numbered from 0; y may be x. Moves 8 bytes an element (4 in bf16); about 60 integer
// operations for 4 elements, which memory hides.
void dropout(float* y, const float* x, std::int64_t n, const Drop& drop, cudaStream_t stream);
void dropout(__nv_bfloat16* y, const __nv_bfloat16* x, std::int64_t n, const Drop& drop,
             cudaStream_t stream);
void dropout_reference(float* y, const float* x, std::int64_t n, const Drop& drop,
                       cudaStream_t stream);

}  // namespace lockstep::kernels
