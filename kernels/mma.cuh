// Tensor-core pieces of sm_80 and later as PTX: m16n8k16 products of bf16, ldmatrix, cp.async. On
// older devices they compile to nothing: launchers of kernels that use them refuse there.
//
// Fragments of a warp, g = warp_lane / 4, t = warp_lane % 4 (PTX ISA, m16n8k16): A holds rows g and
// g + 8, columns 2t, 2t + 1 and 8 further; B holds rows 2t, 2t + 1 and 8 further, column g; C and D
// hold rows g and g + 8, columns 2t, 2t + 1.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>

namespace lockstep::kernels {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define LOCKSTEP_HAS_MMA 1
#endif

using Word = std::uint32_t;  // two bf16, the lower index in the lower half

__device__ inline unsigned shared_address(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

__device__ inline Word pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const Word*>(&pair);
}

// c += a b.
__device__ inline void mma_bf16(float (&c)[4], const Word (&a)[4], Word b0, Word b1) {
#ifdef LOCKSTEP_HAS_MMA
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// Four 8 x 8 matrices; warp_lane gives the address of row warp_lane % 8 of matrix warp_lane / 8.
// kTransposed: each matrix is transposed on the way.
template <bool kTransposed>
__device__ inline void load_matrices(Word (&to)[4], unsigned address) {
#ifdef LOCKSTEP_HAS_MMA
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
  }
#endif
}

// 16 bytes from global to shared memory past the registers, the last 16 - `bytes` of them zero.
__device__ inline void copy_async(unsigned shared, const void* global, int bytes) {
#ifdef LOCKSTEP_HAS_MMA
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared), "l"(global),
               "r"(bytes)
               : "memory");
#endif
}
// 4 bytes, or zero where bytes is 0.
__device__ inline void copy_async_word(unsigned shared, const void* global, int bytes) {
#ifdef LOCKSTEP_HAS_MMA
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(shared), "l"(global),
               "r"(bytes)
               : "memory");
#endif
}
__device__ inline void commit_copies() {
#ifdef LOCKSTEP_HAS_MMA
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}
// Until at most kGroups of this thread's committed groups are on their way.
template <int kGroups>
__device__ inline void wait_for_copies() {
#ifdef LOCKSTEP_HAS_MMA
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kGroups) : "memory");
#endif
}

}  // namespace lockstep::kernels
