#define LOCKSTEP_SIMD 2
#include "ops/cpu/gemm_loops.inl"

namespace lockstep::ops {

extern const GemmKernels kGemmAvx2, kGemmAvx2Bf16;
const GemmKernels kGemmAvx2 = gemm_kernels<Fp32Words>("lockstep:avx2");
const GemmKernels kGemmAvx2Bf16 = gemm_kernels<Bf16Words>("lockstep:avx2 rounded to bf16");

}  // namespace lockstep::ops
