// A warp a row of a head: reads output and its gradient once, writes the dot and the gradient in
// the layout and type that backward multiplies. Bound: memory.
#include "kernels/attention_pass.cuh"

namespace lockstep::kernels {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads)
    dots_kernel(const AttentionSizes p, std::int64_t rows, const float* output,
                const float* d_output, float* dots, T* d_output_heads) {
  const std::int64_t row =
      static_cast<std::int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= rows) return;
  const int warp_lane = threadIdx.x % kWarp, head = static_cast<int>(row % p.heads);
  const std::int64_t token = row / p.heads % p.tokens, sample = row / p.heads / p.tokens;
  const std::int64_t to = (sample * p.heads + head) * p.tokens + token;
  float sum = 0;
  for (int i = warp_lane; i < p.step; i += kWarp) {
    const bool there = i < p.width;
    const float d = there ? d_output[row * p.width + i] : 0.0f;
    if (there) sum = fmaf(d, output[row * p.width + i], sum);
    d_output_heads[to * p.step + i] = from_float<T>(d);
  }
  sum = warp_sum(sum);
  if (warp_lane == 0) dots[to] = sum;
}

template <class T>
void run(const AttentionShape& s, const float* output, const float* d_output, float* dots,
         T* d_output_heads, cudaStream_t stream) {
  const AttentionPass<T> p = attention_pass<T>(s);
  const std::int64_t rows = s.samples * s.tokens * s.heads;
  const std::int64_t blocks = blocks_for(rows, kThreads / kWarp);
  require_argument(blocks < 0x7FFFFFFF, "rows of attention");
  dots_kernel<T><<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(p, rows, output, d_output,
                                                                         dots, d_output_heads);
  check_launch("attention_dots");
}

}  // namespace

void attention_dots(const AttentionShape& s, const float* output, const float* d_output,
                    float* dots, __nv_bfloat16* d_output_heads, cudaStream_t stream) {
  run(s, output, d_output, dots, d_output_heads, stream);
}
void attention_dots(const AttentionShape& s, const float* output, const float* d_output,
                    float* dots, float* d_output_heads, cudaStream_t stream) {
  run(s, output, d_output, dots, d_output_heads, stream);
}

}  // namespace lockstep::kernels
