// Rows of one field as the file has them, in this machine's byte order. Takes the shortest way:
// pread for contiguous data, raw chunks decoded here for deflate, HDF5 itself for anything else.
// Knows nothing of lanes, windows or normalisation.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "hdf5.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

// The last chunk that a reader decoded. A reader of consecutive rows keeps one, so that a chunk
// which several of its reads share is decoded once.
struct DecodedChunk {
  std::int64_t index = -1;
  std::vector<std::byte> rows;
};

class FieldReader {
 public:
  // Throws DataError if the dataset no longer is what the manifest says.
  FieldReader(std::shared_ptr<const InputFile> file, const Field& field);
  ~FieldReader();
  FieldReader(const FieldReader&) = delete;
  FieldReader& operator=(const FieldReader&) = delete;

  // Copies rows [first, first + count) to out, count * sample_bytes; of a field that
  // cut_sequences() made, sequences. Returns the bytes that came
  // from the file. Several threads may call, each with its own `kept`.
  std::int64_t read(std::int64_t first, std::int64_t count, std::byte* out,
                    DecodedChunk& kept) const;

  const Field& field() const { return field_; }
  const InputFile& file() const { return *file_; }

 private:
  enum class Way { kPread, kChunks, kHdf5 };
  // Returns what makes the dataset unreadable, or "".
  std::string choose_way(hid_t creation);
  void read_contiguous(std::int64_t first, std::int64_t count, std::byte* out) const;
  std::int64_t read_chunks(std::int64_t first, std::int64_t count, std::byte* out,
                           DecodedChunk& kept) const;
  std::int64_t decode(std::int64_t chunk, std::vector<std::byte>& rows) const;
  void read_by_hdf5(std::int64_t first, std::int64_t count, std::byte* out) const;
  [[noreturn]] void fail(std::int64_t first, std::int64_t count, const std::string& why) const;

  std::shared_ptr<const InputFile> file_;  // shared by the readers of a file's fields
  Field field_;   // as its reader sees it
  Field stored_;  // the dataset: of sequences, the stream of tokens that they are cut from
  Handle dataset_, memory_type_;
  Way way_ = Way::kHdf5;
  bool swap_ = false;
  std::size_t row_bytes_ = 0, element_bytes_ = 0;
  std::uint64_t address_ = 0;          // kPread: of row 0 in the file
  std::vector<H5Z_filter_t> filters_;  // kChunks: in the order in which they were applied
};

}  // namespace lockstep::data
