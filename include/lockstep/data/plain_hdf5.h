// HDF5 as anybody uses it, H5Dread and H5Dwrite: what this program's own reader is measured
// against and compared with. No part of a run.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "lockstep/data/dataset.h"

namespace lockstep::data {

// Rows [first, first + count) of a field's pieces, one behind the other, in this machine's byte
// order, by H5Dread with plain properties. The file stays open between calls of one reader.
class PlainRows {
 public:
  // Throws UserError unless rows of the field are rows of its datasets (Layout::kRows).
  PlainRows(const Manifest& manifest, const Field& field);
  ~PlainRows();
  PlainRows(const PlainRows&) = delete;
  PlainRows& operator=(const PlainRows&) = delete;
  void read(std::int64_t first, std::int64_t count, std::byte* out);

 private:
  void open(std::size_t piece);
  void close();
  const Manifest& manifest_;
  const Field& field_;
  std::size_t open_piece_ = 0;
  std::int64_t file_ = -1, dataset_ = -1;
};
bool has_plain_rows(const Field& field);

// A file with a split "train" of `samples` images of u8 and their labels: "image", chunks of
// `chunk` samples by shuffle and deflate; "image_contiguous", the same numbers; "label".
void write_plain_images(const std::filesystem::path& file, std::int64_t samples, const Shape& image,
                        std::int64_t chunk);

}  // namespace lockstep::data
