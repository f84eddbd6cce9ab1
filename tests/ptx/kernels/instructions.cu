// One kernel for each family of instructions, with results that a test can compute otherwise. Names
// are those of C, so that the test finds them.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace {

__device__ std::uint32_t shared_offset(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ __noinline__ float polynomial(float x, const float* coefficients, int n) {
  float y = 0;
  for (int i = n - 1; i >= 0; --i) y = fmaf(y, x, coefficients[i]);
  return y;
}

}  // namespace

__constant__ float constants[4] = {1, -2, 3, 0.5f};
__device__ int calls;

// out: [32, 8]
extern "C" __global__ void shuffles(int* out) {
  const int x = 100 + threadIdx.x;
  int* const own = out + 8 * threadIdx.x;
  own[0] = __shfl_xor_sync(~0u, x, 5);
  own[1] = __shfl_down_sync(~0u, x, 3);
  own[2] = __shfl_up_sync(~0u, x, 3);
  own[3] = __shfl_sync(~0u, x, 7);
  own[4] = __shfl_xor_sync(~0u, x, 3, 8);
  own[5] = __shfl_down_sync(~0u, x, 3, 8);
  own[6] = __shfl_up_sync(~0u, x, 3, 8);
  own[7] = __shfl_sync(~0u, x, 2, 8);
}

// out: [32, 7]
extern "C" __global__ void votes(unsigned* out) {
  const int lane = threadIdx.x;
  unsigned* const own = out + 7 * lane;
  own[0] = __ballot_sync(~0u, lane % 3 == 0);
  own[1] = __any_sync(~0u, lane == 9) + 2 * __all_sync(~0u, lane < 32);
  own[2] = __match_any_sync(~0u, lane / 4);
  own[3] = __reduce_add_sync(~0u, static_cast<unsigned>(lane));
  own[4] = static_cast<unsigned>(__reduce_min_sync(~0u, lane - 7));
  own[5] = lane < 16 ? __reduce_xor_sync(0xFFFFu, 1u << lane) : __ballot_sync(0xFFFF0000u, 1);
  own[6] = __syncthreads_count(lane < 11);
}

// a, b, c: n words; out: [n, 12]
extern "C" __global__ void integers(const unsigned* a, const unsigned* b, const unsigned* c,
                                    unsigned* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const unsigned x = a[i], y = b[i], z = c[i];
  unsigned* const own = out + 12 * i;
  own[0] = __umulhi(x, y);
  own[1] = static_cast<unsigned>(__mulhi(static_cast<int>(x), static_cast<int>(y)));
  own[2] =
      static_cast<unsigned>(__umul64hi(std::uint64_t{x} << 31 | y, std::uint64_t{z} << 32 | x));
  own[3] = __brev(x) ^ __clz(static_cast<int>(y)) ^ __popc(z);
  own[4] = __byte_perm(x, y, z & 0x7777);
  own[5] = __funnelshift_l(x, y, z) ^ __funnelshift_r(x, y, z);
  asm("bfe.s32 %0, %1, 5, 9;" : "=r"(own[6]) : "r"(x));
  asm("bfi.b32 %0, %1, %2, 7, 11;" : "=r"(own[7]) : "r"(x), "r"(y));
  asm("lop3.b32 %0, %1, %2, %3, 0xCA;" : "=r"(own[8]) : "r"(x), "r"(y), "r"(z));
  own[9] = x / (y | 1) + x % (z | 1) +
           static_cast<unsigned>(static_cast<int>(x) / static_cast<int>(y | 1));
  own[10] = __dp4a(x, y, z);
  asm("{ .reg .u32 low; add.cc.u32 low, %1, %2; addc.u32 %0, %3, 7; }"
      : "=r"(own[11])
      : "r"(x), "r"(y), "r"(z));
}

// x: n floats; out: [n, 12]
extern "C" __global__ void floats(const float* x, float* out, int n) {
  const int i = threadIdx.x;
  if (i >= n) return;
  float* const own = out + 12 * i;
  const float v = x[i];
  own[0] = expf(v);
  own[1] = logf(fabsf(v));
  own[2] = rsqrtf(fabsf(v));
  own[3] = tanhf(v);
  own[4] = erff(v);
  own[5] = fmaf(v, v, -1.0f);
  own[6] = static_cast<float>(__double2int_rn(v * 2.5)) + static_cast<float>(__float2int_rz(v));
  own[7] = __fdiv_rn(1.0f, v) + __fsqrt_rn(fabsf(v));
  own[8] = fminf(v, 0.25f) + fmaxf(v, NAN);
  own[9] = static_cast<float>(sqrt(fabs(static_cast<double>(v))) / 3.0);
  asm("tanh.approx.f32 %0, %1;" : "=f"(own[10]) : "f"(v));
  own[11] = __fadd_rd(v, 1e-9f) + __fadd_ru(v, 1e-9f);
}

// x, y: n floats; out: [n, 6]
extern "C" __global__ void halves(const float* x, const float* y, float* out, int n) {
  const int i = threadIdx.x;
  if (i >= n) return;
  const auto a = __float2bfloat16_rn(x[i]), b = __float2bfloat16_rn(y[i]);
  float* const own = out + 6 * i;
  own[0] = __bfloat162float(__hadd(a, b));
  own[1] = __bfloat162float(__hfma(a, b, a));
  const __nv_bfloat162 pair =
      __hmul2(__floats2bfloat162_rn(x[i], y[i]), __floats2bfloat162_rn(y[i], 2.0f));
  own[2] = __low2float(pair);
  own[3] = __high2float(pair);
  own[4] =
      __half2float(__hfma(__float2half_rn(x[i]), __float2half_rn(y[i]), __float2half_rn(0.1f)));
  own[5] = __bfloat162float(__float2bfloat16_rz(x[i]));
}

// sums: 4 floats and 4 integers, zero; out: 64 floats, one a thread
extern "C" __global__ void memories(const float4* x, float* sums, int* counts, float* out) {
  extern __shared__ float dynamic[];
  __shared__ int own_order[64];
  float local[8];
  const int i = threadIdx.x;
  const float4 v = __ldg(x + i);
  for (int k = 0; k < 8; ++k) local[k] = v.x + k;
  local[i % 8] += v.w;
  dynamic[i] = polynomial(local[(i + 3) % 8], constants, 4) + local[i % 8];
  atomicAdd(sums, v.y);
  atomicMax(counts, i);
  atomicMin(counts + 1, -i);
  atomicCAS(counts + 2, 0, 7);
  own_order[i] = atomicAdd(&calls, 1);
  __syncthreads();
  out[i] = dynamic[63 - i] + static_cast<float>(own_order[i] >= 0);
}

// c = a b: a [16, 16] row-major, b [16, 8] column-major, of bf16; through cp.async and ldmatrix.
extern "C" __global__ void product(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c) {
  __shared__ __align__(16) __nv_bfloat16 tile_a[256], tile_b[128];
  const int lane = threadIdx.x;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_offset(tile_a + 8 * lane)),
               "l"(a + 8 * lane));
  if (lane < 16)
    asm volatile(
        "cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(shared_offset(tile_b + 8 * lane)),
        "l"(b + 8 * lane));
  asm volatile("cp.async.commit_group;");
  asm volatile("cp.async.wait_group 0;");
  __syncwarp();
  std::uint32_t x[4], y[2];
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(shared_offset(tile_a + lane % 16 * 16 + lane / 16 * 8)));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(y[0]), "=r"(y[1])
               : "r"(shared_offset(tile_b + lane % 8 * 16 + lane / 8 % 2 * 8)));
  float d[4] = {};
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
  for (int i = 0; i < 4; ++i) c[(lane / 4 + 8 * (i / 2)) * 8 + 2 * (lane % 4) + i % 2] = d[i];
}

// out: 32 words, of which the copy brings `words` and zeros for the rest of each group of four
extern "C" __global__ void partial_copy(const unsigned* from, unsigned* out, int words) {
  __shared__ __align__(16) unsigned tile[32];
  if (threadIdx.x < 8) {
    const int left = max(0, min(4, words - 4 * static_cast<int>(threadIdx.x)));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     shared_offset(tile + 4 * threadIdx.x)),
                 "l"(from + 4 * threadIdx.x), "r"(4 * left));
    asm volatile("cp.async.wait_all;");
  }
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x];
}

// The first warp produces, the second consumes, by a named barrier of 64 threads.
extern "C" __global__ void named_barrier(int* out) {
  __shared__ int box[32];
  const int lane = threadIdx.x % 32;
  if (threadIdx.x < 32) {
    box[lane] = 3 * lane;
    asm volatile("bar.arrive 1, 64;" ::: "memory");
  } else {
    asm volatile("bar.sync 1, 64;" ::: "memory");
    out[lane] = box[31 - lane];
  }
}

// For timings: a chain of dependent multiply-adds.
extern "C" __global__ void chain(float* x, int steps) {
  float y = x[threadIdx.x];
  for (int i = 0; i < steps; ++i) y = fmaf(y, 0.999f, 0.001f);
  x[threadIdx.x] = y;
}
