// How HDF5 datasets lie in their files: all that reading them without HDF5 needs. One rank asks
// HDF5 and tells the others. Knows no fields and no rows.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chunk_index.h"
#include "lockstep/comm/communicator.h"
#include "lockstep/core/hash.h"

namespace lockstep::data {

// What many datasets have in common.
struct StoredForm {
  DType dtype = DType::kU8;
  bool big_endian = false;
  std::vector<std::int64_t> extents;
  std::vector<std::int64_t> chunk;    // empty: not in chunks
  std::vector<std::int32_t> filters;  // their numbers, in the order in which they were applied
  std::vector<std::byte> fill;        // one element that was never written, as the file has it
  std::string only_hdf5;              // not empty: why HDF5 must read it
  std::string refusal;                // not empty: why nobody can
  std::string index_source;           // chunks: ChunkIndexFound::source
  bool operator==(const StoredForm&) const = default;
};

// A file as it was when HDF5 was asked.
struct FileStamp {
  std::int64_t bytes = -1, changed = 0;  // changed: nanoseconds since 1970
  bool operator==(const FileStamp&) const = default;
};
FileStamp stamp_of(const InputFile& file);

struct StoredDataset {
  std::shared_ptr<const StoredForm> form;
  std::uint64_t address = 0;                // of a contiguous one's first byte
  std::shared_ptr<const ChunkIndex> index;  // null: H5Dread_chunk
  FileStamp stamp;
};
// Takes the lock. Throws DataError for a dataset that cannot be opened or has no numbers.
StoredDataset ask_hdf5(const InputFile& file, const std::string& path);

// By file (in Manifest::files) and path. 40 bytes a dataset, and its chunks.
class StorageTable {
 public:
  void add(std::int32_t file, std::string_view path, const StoredDataset& stored);
  // Of a table that from_bytes() made.
  std::optional<StoredDataset> find(std::int32_t file, std::string_view path) const;
  std::string to_bytes();
  static std::shared_ptr<const StorageTable> from_bytes(std::string_view bytes);

 private:
  struct Entry {
    Hash128 path;
    std::int32_t file = 0, form = 0;
    std::uint64_t address = 0;
    std::shared_ptr<const ChunkIndex> index;
  };
  static bool before(const Entry& a, const Entry& b);
  std::vector<std::shared_ptr<const StoredForm>> forms_;
  std::vector<FileStamp> stamps_;  // by file
  std::vector<Entry> entries_;     // in order of file and path
};

// Collective: rank 0 asks HDF5 for all datasets of the manifest's fields, and the others are told.
std::shared_ptr<const StorageTable> share_storage(comm::Communicator& communicator,
                                                  const Manifest& manifest);

}  // namespace lockstep::data
