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

// Blocks that are contiguous in the flat buffer and in the file: part of one parameter.
struct BlockSpan {
  int tensor = 0, parameter = 0;
  int first_block = 0, end_block = 0;    // in the table
  std::int64_t begin = 0, elements = 0;  // in the flat buffer
};
std::vector<BlockSpan> spans_of(const ParameterTable& table, BlockRange range);
std::vector<BlockSpan> spans_of(const ParameterTable& table, const std::vector<BlockRange>& ranges);

// A span and where its numbers are: in the flat buffer, or in a copy of it.
struct HeldSpan {
  BlockSpan span;
  const float* numbers = nullptr;
};
std::vector<HeldSpan> held_spans(const State& state, int position, int ranks);  // of its shares
// The hashes of the spans' blocks, in their order. kFinite: DataError naming the first tensor and
// index that may not be saved.
enum class Numbers : std::uint8_t { kAny, kFinite };
std::vector<Hash128> hash_spans(const State& state, std::span<const HeldSpan> spans,
                                Numbers allowed = Numbers::kAny);
// The hashes of every position's shares, one position after the other, brought into the state's
// order.
std::vector<Hash128> in_state_order(std::span<const std::byte> of_positions, const State& state,
                                    int ranks);
Hash128 digest_of(std::span<const Hash128> hashes, const Progress& progress);
void refuse_nan(const Progress& progress);  // DataError naming the entry

// "12, 5": the coordinates of element `index` of a tensor of this shape.
std::string coordinates_text(const Shape& shape, std::int64_t index);

}  // namespace lockstep::train
