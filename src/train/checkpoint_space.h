// Whether a disk takes a checkpoint: asked before it is begun, and of the file system itself before
// its numbers come. Knows sizes, no numbers.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "lockstep/core/error.h"
#include "train/checkpoint_index.h"

namespace lockstep::train {

// Numbers, hashes and texts, and an upper bound of what HDF5 adds.
std::uint64_t checkpoint_file_bytes(const CheckpointIndex& index);
// The sentence for what stops a checkpoint: what it needs, what is free, why, what to try.
UserError cannot_save(const CheckpointIndex& index, const std::string& reason);

void check_space(const CheckpointIndex& index);  // by what the file system says is free
// Takes the space before HDF5 writes its first byte: HDF5 cannot give up a file that it cannot
// flush. File systems that cannot reserve are asked by the writes.
void reserve_space(const CheckpointIndex& index);
// The same for the file as it has been created, whose numbers are to come.
void reserve_numbers(const CheckpointIndex& index);

}  // namespace lockstep::train
