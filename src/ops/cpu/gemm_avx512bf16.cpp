#define LOCKSTEP_SIMD 512
#define LOCKSTEP_BF16 1
#include "ops/cpu/gemm_loops.inl"

namespace lockstep::ops {

extern const GemmKernels kGemmAvx512OwnBf16;
const GemmKernels kGemmAvx512OwnBf16 = gemm_kernels<Bf16Words>("lockstep:avx512_bf16");

}  // namespace lockstep::ops
