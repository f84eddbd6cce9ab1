#include "train/checkpoint_space.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "lockstep/core/files.h"
#include "lockstep/core/units.h"
#include "train/file_descriptor.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

void take(const FileDescriptor& file, const CheckpointIndex& index, std::uint64_t bytes) {
  if (::fallocate(file.get(), 0, 0, static_cast<off_t>(bytes)) == 0) return;
  if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
    throw cannot_save(index, std::strerror(errno));
}

}  // namespace

std::uint64_t checkpoint_file_bytes(const CheckpointIndex& index) {
  // Headers, names, alignment.
  constexpr std::uint64_t kPerDataset = 1024 + 4096, kPerEntry = 256, kFixed = 16 << 10;
  const std::uint64_t datasets = index.tensors.size() * (index.table.size() + 1);
  const std::uint64_t entries = index.progress.integers.size() + index.progress.reals.size();
  const std::uint64_t blocks = index.tensors.size() * index.table.blocks().size();
  return index.data_bytes() + blocks * sizeof(Hash128) + 2 * layout_json(index).size() +
         index.text.resolved_run.size() + index.text.environment.size() +
         index.text.description.size() + datasets * kPerDataset + entries * kPerEntry +
         seal_bytes(datasets) + kFixed;
}

UserError cannot_save(const CheckpointIndex& index, const std::string& reason) {
  const fs::path dir = index.file.parent_path();
  return UserError(
      "cannot save {} in {}: it needs {} and {} are free ({}); free some space or set "
      "checkpoint.dir to a folder on another disk (earlier checkpoints are intact)",
      index.file.stem().string(), dir.string(),
      bytes_text(static_cast<double>(checkpoint_file_bytes(index))),
      bytes_text(static_cast<double>(free_bytes(dir))), reason);
}

void check_space(const CheckpointIndex& index) {
  if (free_bytes(index.file.parent_path()) < checkpoint_file_bytes(index))
    throw cannot_save(index, "the disk is full");
}

void reserve_space(const CheckpointIndex& index) {
  take(FileDescriptor(index.file, O_WRONLY | O_CREAT | O_TRUNC), index,
       checkpoint_file_bytes(index));
}

void reserve_numbers(const CheckpointIndex& index) {
  take(FileDescriptor(index.file, O_WRONLY), index, fs::file_size(index.file));
}

}  // namespace lockstep::train
