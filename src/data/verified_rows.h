// Units compared with their hashes whenever they are read. Knows no HDF5 and no cache on disk.
#pragma once
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "lockstep/data/versions.h"
#include "row_source.h"

namespace lockstep::data {

class VerifiedRows final : public UnitSource {
 public:
  // One hash for each unit.
  VerifiedRows(std::shared_ptr<const UnitSource> units, UnitHashes hashes);
  std::int64_t rows() const override { return units_->rows(); }
  std::size_t row_bytes() const override { return units_->row_bytes(); }
  std::int64_t units() const override { return units_->units(); }
  Unit unit(std::int64_t index) const override { return units_->unit(index); }
  std::int64_t unit_of(std::int64_t row) const override { return units_->unit_of(row); }
  // Throws DataError naming file, dataset and chunk if the rows are not those that were hashed.
  std::int64_t read_unit(std::int64_t index, std::byte* out) const override;
  bool has_parts() const override { return units_->has_parts(); }
  // Reads and compares the whole unit, and keeps a small one for those who want other parts of it:
  // labels of 256 KiB, whose rows are read in the order of the images' chunks.
  std::int64_t read_part(std::int64_t first, std::int64_t count, std::byte* out) const override;
  std::string place(std::int64_t row) const override { return units_->place(row); }
  std::string way() const override { return units_->way() + ", hashes compared"; }

 private:
  static constexpr std::size_t kMostKept = 8 << 20;        // bytes of all
  static constexpr std::size_t kMostKeptUnit = 512 << 10;  // of one
  struct Kept {
    std::int64_t unit;
    std::shared_ptr<const std::vector<std::byte>> rows;  // shared with a reader that copies from it
  };
  std::shared_ptr<const std::vector<std::byte>> find_kept(std::int64_t unit) const;
  void keep(Kept unit) const;

  std::shared_ptr<const UnitSource> units_;
  UnitHashes hashes_;
  mutable std::mutex mutex_;
  mutable std::list<Kept> kept_;  // the last one that was used first
  mutable std::size_t kept_bytes_ = 0;
};

}  // namespace lockstep::data
