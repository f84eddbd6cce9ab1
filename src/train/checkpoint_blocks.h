// The blocks of a state in one order (tensor by tensor, then the table's blocks), shared out over
// the ranks; their hashes and the digest. Knows no file.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "lockstep/train/checkpoint.h"

namespace lockstep::train {

// Blocks [begin, end) in the state's order: block b of tensor t is number t * table.blocks + b.
struct BlockRange {
  std::int64_t begin = 0, end = 0;
};
// What a position hashes and saves, in the state's order: the blocks that it holds of a tensor with
// holders; of the others, which all hold, a contiguous share.
std::vector<BlockRange> shares_of(const State& state, int position, int ranks);
// Contiguous, covers all, differs by at most one block between positions.
BlockRange share_of(std::int64_t blocks, int position, int ranks);

// A stretch of blocks that is contiguous in the flat buffer and in the file: part of one parameter.
struct Stretch {
  int tensor = 0, parameter = 0;
  int first_block = 0, end_block = 0;    // in the table
  std::int64_t begin = 0, elements = 0;  // in the flat buffer
};
std::vector<Stretch> stretches_of(const ParameterTable& table, BlockRange range);
std::vector<Stretch> stretches_of(const ParameterTable& table,
                                  const std::vector<BlockRange>& ranges);

// Collective: the hashes of all blocks, each computed by one rank.
std::vector<Hash128> hash_blocks(comm::Communicator& communicator, const State& state);
Hash128 digest_of(std::span<const Hash128> hashes, const Progress& progress);

// Collective. DataError naming the first tensor and index (or progress entry) that may not be
// saved.
void refuse_non_finite(comm::Communicator& communicator, const State& state);

// "12, 5": the coordinates of element `index` of a tensor of this shape.
std::string coordinates_text(const Shape& shape, std::int64_t index);

}  // namespace lockstep::train
