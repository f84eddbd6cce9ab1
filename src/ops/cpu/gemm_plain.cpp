#define LOCKSTEP_SIMD 0
#include "ops/cpu/gemm_loops.inl"

namespace lockstep::ops {

extern const GemmKernels kGemmPlain, kGemmPlainBf16;
const GemmKernels kGemmPlain = gemm_kernels<Fp32Words>("lockstep:plain");
const GemmKernels kGemmPlainBf16 = gemm_kernels<Bf16Words>("lockstep:plain rounded to bf16");

}  // namespace lockstep::ops
