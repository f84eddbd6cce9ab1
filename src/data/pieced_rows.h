// The rows of a field whose samples lie in several datasets, of one file or of many. Pieces are
// opened when they are read; so many of them stay open. Knows no order and no hashes.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "links.h"
#include "row_source.h"

namespace lockstep::data {

// One piece of a field, in `file`, with the links on its path followed. Throws DataError for one
// that is not there, or not like the field's others.
std::shared_ptr<const UnitSource> open_piece(const std::filesystem::path& file, const Reach& reach,
                                             const StorageTable* storage, const Field& field,
                                             const Piece& piece);

// Whether rank 0 has looked into all datasets of a field when it read the manifest. Others are
// checked when they are first read.
inline bool is_checked(const Field& field) {
  return field.layout != Layout::kSample || field.pieces.size() == 1;
}

class PiecedRows final : public UnitSource {
 public:
  // An open piece is at most two descriptors, and the fields of a split mostly share them.
  static constexpr std::size_t kMostOpen = 64;

  PiecedRows(const Manifest& manifest, const Field& field);
  std::int64_t rows() const override { return first_row_.back(); }
  std::size_t row_bytes() const override { return row_bytes_; }
  std::int64_t units() const override { return first_unit_.back(); }
  Unit unit(std::int64_t index) const override;
  std::int64_t unit_of(std::int64_t row) const override;
  std::int64_t read_unit(std::int64_t index, std::byte* out) const override;
  bool has_parts() const override { return field_.chunk == 0; }
  std::int64_t read_part(std::int64_t first, std::int64_t count, std::byte* out) const override;
  std::string place(std::int64_t row) const override;
  std::string way() const override;

 private:
  std::size_t piece_of(std::int64_t row) const;
  std::shared_ptr<const UnitSource> open(std::size_t piece) const;

  std::vector<std::string> files_;  // a path takes ten times the memory
  std::shared_ptr<const StorageTable> storage_;
  Field field_;
  Reach reach_;
  std::size_t row_bytes_;
  std::int64_t unit_rows_;
  std::vector<std::int64_t> first_row_, first_unit_;  // of each piece, and of the end

  struct Open {
    std::size_t piece;
    std::shared_ptr<const UnitSource> rows;
  };
  mutable std::mutex mutex_;      // of what follows; never held while a file is opened or closed
  mutable std::list<Open> open_;  // the last used first
  mutable std::unordered_map<std::size_t, std::list<Open>::iterator> known_;
};

}  // namespace lockstep::data
