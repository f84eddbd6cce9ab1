#include "kernels/launch.h"
#include "kernels/squares.cuh"
#include "kernels/squares.h"

namespace lockstep::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int kBlocksAtOnce = kThreads / kAccumulators;

// 16 threads a block of the table, each reading 64 bytes at a time side by side.
__global__ void __launch_bounds__(kThreads)
    block_squares_kernel(DeviceTable table, BlockRange range, const float* const* vectors,
                         double* squares) {
  const int index = blockIdx.x * kBlocksAtOnce + threadIdx.x / kAccumulators;
  const int number = range.first + index, accumulator = threadIdx.x % kAccumulators;
  const bool there = index < range.count;
  const int n = there ? static_cast<int>(table.blocks[number].elements) : 0;
  const double sum = sum_of_squares(there ? vectors[number] : nullptr, n, accumulator);
  if (there && accumulator == 0) squares[number] = sum;
}

__global__ void block_squares_naive(DeviceTable table, BlockRange range,
                                    const float* const* vectors, double* squares) {
  const int number = range.first + static_cast<int>(blockIdx.x);
  double sums[kAccumulators] = {};
  for (int i = 0; i < table.blocks[number].elements; ++i) {
    const double x = vectors[number][i];
    sums[i % kAccumulators] += x * x;
  }
  for (int half = kAccumulators / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  squares[number] = sums[0];
}

constexpr int kTreeThreads = 256;

__global__ void __launch_bounds__(kTreeThreads)
    parameter_squares_kernel(DeviceTable table, const double* squares, double* sums) {
  const ParameterEntry entry = table.parameters[blockIdx.x];
  double sum = 0;
  if (static_cast<ParameterKind>(entry.kind) != ParameterKind::kStatistic) {
    sum =
        sibling_sum<kTreeThreads>(squares + entry.first_block, entry.end_block - entry.first_block);
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

}  // namespace

std::vector<ParameterEntry> parameter_entries(const ParameterTable& table) {
  std::vector<ParameterEntry> entries;
  for (int p = 0; p < table.size(); ++p) {
    entries.push_back(
        {static_cast<std::int32_t>(table[p].kind), table.first_block(p), table.end_block(p)});
  }
  return entries;
}

void block_squares(const DeviceTable& table, BlockRange range, const float* const* vectors,
                   double* squares, cudaStream_t stream) {
  if (range.count == 0) return;
  const auto blocks = static_cast<unsigned>(blocks_for(range.count, kBlocksAtOnce));
  block_squares_kernel<<<blocks, kThreads, 0, stream>>>(table, range, vectors, squares);
  check_launch("block_squares");
}

void block_squares_reference(const DeviceTable& table, BlockRange range,
                             const float* const* vectors, double* squares, cudaStream_t stream) {
  if (range.count == 0) return;
  block_squares_naive<<<range.count, 1, 0, stream>>>(table, range, vectors, squares);
  check_launch("block_squares_reference");
}

void parameter_squares(const DeviceTable& table, const double* squares, double* sums,
                       cudaStream_t stream) {
  if (table.parameter_count == 0) return;
  parameter_squares_kernel<<<table.parameter_count, kTreeThreads, 0, stream>>>(table, squares,
                                                                               sums);
  check_launch("parameter_squares");
}

}  // namespace lockstep::kernels
