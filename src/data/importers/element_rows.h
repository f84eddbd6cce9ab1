// Rows of elements of one type in a file: at equal distances, in row-major or column-major order,
// in either byte order. What IDX, NumPy and raw files have in common. Knows no header.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "../dataset_writer.h"
#include "positioned_bytes.h"

namespace lockstep::data {

struct ElementLayout {
  std::uint64_t begin = 0;  // byte of the first row
  DType dtype = DType::kF32;
  Shape sample;
  std::int64_t rows = 0;
  std::uint64_t stride = 0;  // bytes from row to row; 0: those of a row
  bool big_endian = false;
  bool column_major = false;  // the row's index runs fastest (NumPy's Fortran order)
};

class ElementRows {
 public:
  // Throws DataError if the file is shorter or longer than the layout asks for (of a packed file:
  // when its last row is read).
  ElementRows(std::shared_ptr<PositionedBytes> bytes, const ElementLayout& layout);

  const ElementLayout& layout() const { return layout_; }
  const std::string& name() const { return bytes_->name(); }
  // `rows` ascend. Elements in this machine's byte order. Holds at most 1 MiB more than `out`, of
  // column-major files 32 MiB.
  void read(std::span<const std::int64_t> rows, std::byte* out);

 private:
  void read_group(std::span<const std::int64_t> rows, std::byte* out);
  void read_columns(std::span<const std::int64_t> rows, std::byte* out);
  void load_band(std::int64_t row);
  void check_end();
  void read_exactly(std::uint64_t offset, std::byte* out, std::size_t bytes, std::int64_t row);
  [[noreturn]] void cut_short(std::int64_t row) const;

  std::shared_ptr<PositionedBytes> bytes_;
  ElementLayout layout_;
  std::size_t row_bytes_;
  std::vector<std::byte> buffer_;
  std::int64_t band_ = 0, band_rows_ = 0;  // column-major: the rows in buffer_, by column
};

}  // namespace lockstep::data
