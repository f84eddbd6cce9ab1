// What a checkpoint file holds apart from the tensors' numbers: names, shapes, where each tensor
// lies, the blocks' hashes, progress and texts. One rank reads or writes it with HDF5; the others
// get it as bytes. Knows no communicator.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "lockstep/comm/mesh.h"
#include "lockstep/train/checkpoint.h"
#include "train/checkpoint_seal.h"

namespace lockstep::train {

inline constexpr const char* kFormatName = "lockstep checkpoint";
inline constexpr std::int64_t kFormatVersion = 1;

struct CheckpointIndex {
  std::filesystem::path file;
  ParameterTable table;              // names, shapes and kinds, in the run's order
  std::vector<std::string> tensors;  // "parameters", "optimizer/m", ...
  // How ranks held the state. Axes along which nothing was cut are left out, so that the same state
  // is the same file on any number of ranks.
  std::vector<comm::MeshAxis> mesh;
  std::map<std::string, std::string> cut;  // tensor -> axis; absent: every rank held all of it
  std::vector<std::uint64_t> offsets;  // [tensors x parameters], bytes from the start of the file
  std::vector<Hash128> hashes;         // [tensors x blocks]
  Progress progress;
  Hash128 digest;
  CheckpointText text;

  std::uint64_t offset(int tensor, int parameter) const {
    return offsets[static_cast<std::size_t>(tensor) * table.size() + parameter];
  }
  const Hash128& hash(int tensor, int block) const {
    return hashes[tensor * table.blocks().size() + block];
  }
  std::vector<ByteRange> number_ranges() const;  // of all tensors, in the file
  std::uint64_t data_bytes() const;              // of all tensors' numbers
};

// The file's names of things, in one place.
std::string dataset_path(const std::string& tensor, const std::string& parameter);
std::string layout_json(const CheckpointIndex& index);  // tensors, mesh and parameters
void set_layout(CheckpointIndex& index, const std::string& json);
Hash128 hash_of_texts(const CheckpointIndex& index);
Hash128 hash_from_text(const std::string& text);  // zero if it is not one

std::string pack(const CheckpointIndex& index);
CheckpointIndex unpack(const std::string& bytes);

// Creates index.file: datasets (contiguous, allocated, not filled), hashes, progress and texts;
// sets index.offsets. Throws UserError naming the file and HDF5's reason.
void create_checkpoint_file(CheckpointIndex& index);

// Throws UserError if there is no such file, DataError if it is foreign, truncated, or if its
// hashes, progress or texts do not fit the digest that it carries.
CheckpointIndex read_index(const std::filesystem::path& file);

}  // namespace lockstep::train
