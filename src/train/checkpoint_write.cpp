#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/units.h"
#include "lockstep/train/checkpoint.h"
#include "train/checkpoint_blocks.h"
#include "train/checkpoint_folder.h"
#include "train/checkpoint_index.h"
#include "train/checkpoint_seal.h"
#include "train/file_descriptor.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

// Blocks of a tensor with one holder were not cut: they are a replica's own.
bool is_cut(const FlatTensor& tensor) {
  if (tensor.holders == nullptr) return false;
  const std::vector<int>& holders = *tensor.holders;
  return std::ranges::adjacent_find(holders, std::ranges::not_equal_to()) != holders.end();
}

void describe_tensors(CheckpointIndex& index, const State& state, const comm::Mesh& mesh) {
  for (const FlatTensor& tensor : state.tensors) {
    index.tensors.push_back(tensor.name);
    if (is_cut(tensor)) index.cut[tensor.name] = comm::kDataAxis;
  }
  for (const comm::MeshAxis& axis : mesh.axes()) {
    if (std::ranges::any_of(index.cut, [&](const auto& cut) { return cut.second == axis.name; }))
      index.mesh.push_back(axis);
  }
}

// Numbers, hashes and texts, and an upper bound of what HDF5 adds: headers, names, alignment.
std::uint64_t file_bytes(const CheckpointIndex& index) {
  constexpr std::uint64_t kPerDataset = 1024 + 4096, kPerEntry = 256, kFixed = 16 << 10;
  const std::uint64_t datasets = index.tensors.size() * (index.table.size() + 1);
  const std::uint64_t entries = index.progress.integers.size() + index.progress.reals.size();
  return index.data_bytes() + index.hashes.size() * sizeof(Hash128) +
         2 * layout_json(index).size() + index.text.resolved_run.size() +
         index.text.environment.size() + index.text.description.size() + datasets * kPerDataset +
         entries * kPerEntry + seal_bytes(datasets) + kFixed;
}

UserError cannot_save(const CheckpointIndex& index, const std::string& reason) {
  const fs::path dir = index.file.parent_path();
  return UserError(
      "cannot save {} in {}: it needs {} and {} are free ({}); free some space or set "
      "checkpoint.dir to a folder on another disk (earlier checkpoints are intact)",
      index.file.stem().string(), dir.string(), bytes_text(static_cast<double>(file_bytes(index))),
      bytes_text(static_cast<double>(free_bytes(dir))), reason);
}

// Takes the space before HDF5 writes its first byte: HDF5 cannot give up a file that it cannot
// flush. File systems that cannot reserve are asked for what is free, and then by the writes.
void reserve(const CheckpointIndex& index) {
  const std::uint64_t needed = file_bytes(index);
  if (free_bytes(index.file.parent_path()) < needed) throw cannot_save(index, "the disk is full");
  const FileDescriptor file(index.file, O_WRONLY | O_CREAT | O_TRUNC);
  if (::fallocate(file.get(), 0, 0, static_cast<off_t>(needed)) == 0) return;
  if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) {
    throw cannot_save(index, std::strerror(errno));
  }
}

void prepare_folder(const fs::path& dir) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error) {
    throw UserError(
        "cannot make the folder {} for checkpoints: {}; set checkpoint.dir to a folder "
        "that can be written",
        dir.string(), error.message());
  }
  remove_stale_files(dir);
}

void write_shares(const CheckpointIndex& index, const State& state,
                  const std::vector<BlockRange>& shares) {
  const FileDescriptor file(index.file, O_WRONLY);
  try {
    for (const Stretch& s : stretches_of(index.table, shares)) {
      const std::uint64_t before =
          static_cast<std::uint64_t>(s.begin - index.table[s.parameter].offset) * sizeof(float);
      write_at(file.get(), state.tensors[s.tensor].data + s.begin,
               static_cast<std::size_t>(s.elements) * sizeof(float),
               index.offset(s.tensor, s.parameter) + before, index.file);
    }
    sync_file(index.file);
  } catch (const UserError& error) {
    throw cannot_save(index, error.what());
  }
}

}  // namespace

fs::path write_checkpoint(comm::Communicator& communicator, const fs::path& dir, const State& state,
                          const CheckpointText& text, int keep, bool is_best, Hash128* digest) {
  const std::int64_t step = state.progress.integers.at("step");
  communicator.set_activity("writing a checkpoint", step);
  refuse_non_finite(communicator, state);

  CheckpointIndex index;
  const fs::path whole = checkpoint_path(dir, step);
  index.file = temporary_path(whole);
  index.table = *state.table;
  describe_tensors(index, state, communicator.mesh());
  index.hashes = hash_blocks(communicator, state);
  index.progress = state.progress;
  index.digest = digest_of(index.hashes, index.progress);
  index.text = text;
  if (digest != nullptr) *digest = index.digest;

  const bool first = communicator.rank() == 0;
  const comm::Topology& topology = communicator.topology();
  const std::vector<BlockRange> shares = shares_of(state, topology.position, topology.ranks());
  try {
    communicator.together([&] {
      if (!first) return;
      prepare_folder(dir);
      reserve(index);
      create_checkpoint_file(index);
      seal_file(index.file, index.number_ranges());
    });
    index.offsets.resize(index.tensors.size() * index.table.size());
    communicator.broadcast(std::as_writable_bytes(std::span(index.offsets)), 0);
    communicator.together([&] { write_shares(index, state, shares); });
    communicator.together([&] {
      if (!first) return;
      commit_file(index.file, whole);
      if (is_best) mark_best(whole);
      keep_newest(dir, keep, whole);
    });
  } catch (...) {
    if (first) {
      std::error_code ignored;
      fs::remove(index.file, ignored);
    }
    throw;
  }
  return whole;
}

}  // namespace lockstep::train
