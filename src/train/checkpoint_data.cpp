#include "train/checkpoint_data.h"

#include <fcntl.h>

#include "lockstep/core/error.h"

namespace lockstep::train {
CheckpointData::CheckpointData(const CheckpointIndex& index)
    : index_(index), file_(index.file, O_RDONLY) {}

void CheckpointData::read(int tensor, int first_block, int end_block, float* out) const {
  const std::vector<Block>& blocks = index_.table.blocks();
  const Block &first = blocks[first_block], &last = blocks[end_block - 1];
  const std::int64_t before = first.begin - index_.table[first.parameter].offset;
  const std::int64_t elements = last.begin + last.elements - first.begin;
  read_at(
      file_.get(), out, static_cast<std::size_t>(elements) * sizeof(float),
      index_.offset(tensor, first.parameter) + static_cast<std::uint64_t>(before) * sizeof(float),
      index_.file);
  for (int b = first_block; b < end_block; ++b) {
    const float* at = out + (blocks[b].begin - first.begin);
    const Hash128 found =
        hash_bytes(at, static_cast<std::size_t>(blocks[b].elements) * sizeof(float));
    if (found == index_.hash(tensor, b)) continue;
    throw DataError(
        "{}: {} does not fit its checksum; the file is damaged, older ones may be whole",
        index_.file.string(), block_text(index_, tensor, b));
  }
}

std::string block_text(const CheckpointIndex& index, int tensor, int block) {
  const Block& b = index.table.blocks()[block];
  const Parameter& p = index.table[b.parameter];
  const std::int64_t first = b.begin - p.offset;
  return fmt::format("{}/{}, block {} (elements {} to {})", index.tensors[tensor], p.name,
                     block - index.table.first_block(b.parameter), first, first + b.elements - 1);
}

}  // namespace lockstep::train
