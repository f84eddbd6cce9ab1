// Rows of one HDF5 dataset. Takes the shortest way: pread of contiguous data and of chunks whose
// place is known, decoded here; chunks that HDF5 hands over, decoded here; HDF5 itself for anything
// else.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "box.h"
#include "hdf5.h"
#include "row_source.h"
#include "stored_dataset.h"

namespace lockstep::data {

class DatasetRows final : public UnitSource {
 public:
  // What a row is: all of a field but its pieces.
  struct Form {
    DType dtype = DType::kF32;
    Shape sample;
    Layout layout = Layout::kRows;
    std::vector<std::int64_t> block;  // kBlocks
  };
  // known: what HDF5 said of the dataset; without it HDF5 is asked now. Throws DataError if the
  // dataset no longer is what the manifest says.
  DatasetRows(std::shared_ptr<const InputFile> file, const Piece& piece, const Form& form,
              std::optional<StoredDataset> known = std::nullopt);
  ~DatasetRows() override;
  DatasetRows(const DatasetRows&) = delete;
  DatasetRows& operator=(const DatasetRows&) = delete;

  std::int64_t rows() const override { return piece_.samples; }
  std::size_t row_bytes() const override { return row_bytes_; }
  std::int64_t units() const override { return rows() == 0 ? 0 : unit_of(rows() - 1) + 1; }
  Unit unit(std::int64_t index) const override;
  std::int64_t unit_of(std::int64_t row) const override { return (offset_ + row) / unit_rows_; }
  std::int64_t read_unit(std::int64_t index, std::byte* out) const override;
  bool has_parts() const override { return parts_; }
  std::int64_t read_part(std::int64_t first, std::int64_t count, std::byte* out) const override;
  std::string place(std::int64_t row) const override;
  std::string way() const override;

 private:
  enum class Way { kPread, kChunks, kHdf5 };
  void check(const Form& form) const;
  Box box_of(std::int64_t first, std::int64_t count) const;  // of the dataset's elements
  // All of a box to `out`. They return the bytes that came from storage.
  std::int64_t read_contiguous(const Box& box, std::byte* out) const;
  std::int64_t read_chunks(const Box& box, std::byte* out) const;
  void read_by_hdf5(const Box& box, std::byte* out) const;
  // Of one chunk, by its place in the grid.
  std::int64_t read_chunk(std::int64_t place, const Box& chunk, const Box& box,
                          std::byte* out) const;
  std::int64_t read_plain(const StoredChunk& stored, std::int64_t place, const Box& chunk,
                          const Box& wanted, const Box& box, std::byte* out) const;
  std::span<const std::byte> raw_chunk(std::int64_t place, const Box& chunk,
                                       std::uint32_t& skipped) const;
  void fill(const Box& wanted, const Box& box, std::byte* out) const;
  void copy_box(const Box& wanted, const Box& source, const std::byte* from, std::int64_t first,
                const Box& target, std::byte* out) const;

  void pread_exactly(std::uint64_t address, std::byte* to, std::size_t bytes,
                     std::int64_t chunk) const;
  hid_t dataset() const;  // opens it when it is first needed; under the lock
  [[noreturn]] void fail(std::int64_t chunk, const std::string& why) const;  // chunk: or -1
  [[noreturn]] void fail_box(const Box& box, const std::string& why) const;

  std::shared_ptr<const InputFile> file_;  // shared by the readers of a file's datasets
  Piece piece_;
  Layout layout_;
  StoredDataset stored_;
  std::vector<std::int64_t> block_;  // kBlocks
  int rank_ = 0;
  Way way_ = Way::kHdf5;
  bool parts_ = false;
  std::size_t row_bytes_ = 0, element_bytes_ = 0, chunk_bytes_ = 0;
  std::int64_t unit_rows_ = 1;
  std::int64_t offset_ = 0;  // of row 0 in its unit
  mutable Handle dataset_;   // under the lock
};

// Of a piece of a field, with what manifest.storage knows of it.
std::shared_ptr<const DatasetRows> open_dataset(const StorageTable* storage,
                                                std::shared_ptr<const InputFile> file,
                                                const Piece& piece, const Field& field);

}  // namespace lockstep::data
