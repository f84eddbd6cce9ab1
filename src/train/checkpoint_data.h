// Reads tensors' numbers from a checkpoint file, each block against its hash. Plain reads: no HDF5,
// no communicator.
#pragma once
#include "train/checkpoint_blocks.h"
#include "train/checkpoint_index.h"
#include "train/file_descriptor.h"

namespace lockstep::train {

class CheckpointData {
 public:
  explicit CheckpointData(const CheckpointIndex& index);
  // Reads blocks [first, end) of one parameter of the file's tensor number `tensor` to
  // out[elements]. DataError naming file, tensor and block if a block does not fit its hash.
  void read(int tensor, int first_block, int end_block, float* out) const;

 private:
  const CheckpointIndex& index_;
  FileDescriptor file_;
};

// "parameters/fc1.weight, block 3 (elements 12288 to 16383)"
std::string block_text(const CheckpointIndex& index, int tensor, int block);

}  // namespace lockstep::train
