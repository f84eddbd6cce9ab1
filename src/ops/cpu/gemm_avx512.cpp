#define LOCKSTEP_SIMD 512
#include "ops/cpu/gemm_loops.inl"

namespace lockstep::ops {

extern const GemmKernels kGemmAvx512, kGemmAvx512Bf16;
const GemmKernels kGemmAvx512 = gemm_kernels<Fp32Words>("lockstep:avx512");
const GemmKernels kGemmAvx512Bf16 = gemm_kernels<Bf16Words>("lockstep:avx512 rounded to bf16");

}  // namespace lockstep::ops
