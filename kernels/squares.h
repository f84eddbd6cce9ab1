// Sums of squares in the order of the CPU's norms, bit for bit: 16 accumulators in double within a
// block of 4096 elements (ops::sum_of_squares), siblings in a tree over a parameter's blocks.
// Knows nothing of optimizers.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "lockstep/core/parameter_table.h"

namespace lockstep::kernels {

struct BlockRange {  // of the table's blocks: begin and the number of them
  int first = 0, count = 0;
};

// A parameter as the device sees it.
struct ParameterEntry {
  std::int32_t kind;  // a ParameterKind
  std::int32_t first_block, end_block;
};
// Copied to the device once, next to table.blocks().
std::vector<ParameterEntry> parameter_entries(const ParameterTable& table);

// The table on the device.
struct DeviceTable {
  const Block* blocks = nullptr;               // as ParameterTable::blocks()
  const ParameterEntry* parameters = nullptr;  // as parameter_entries()
  int parameter_count = 0;
};

// squares[b] = sum of the squares of block b, which lies at vectors[b]; for each b of the range.
// Both arrays on the device, indexed by the number of the block. Reads 4 bytes an element; 2 flops
// in double.
void block_squares(const DeviceTable& table, BlockRange range, const float* const* vectors,
                   double* squares, cudaStream_t stream);
void block_squares_reference(const DeviceTable& table, BlockRange range,
                             const float* const* vectors, double* squares, cudaStream_t stream);

// Of each parameter, the sum of its blocks' values in the sibling tree (optim::SiblingSum); +0 for
// statistics, which have no norm. The global norm is the root of the sum over parameters, in order.
void parameter_squares(const DeviceTable& table, const double* squares, double* sums,
                       cudaStream_t stream);

}  // namespace lockstep::kernels
