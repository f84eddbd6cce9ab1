// Rows that a formula knows, in units of unequal sizes, and how often they were read: what a cache
// is tested against.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "data/unit_cache.h"

namespace lockstep::data::testing {

inline std::byte byte_of(std::int64_t row, std::size_t i, int salt) {
  return static_cast<std::byte>((row * 131 + static_cast<std::int64_t>(i) * 7 + salt) % 251);
}

class CountedUnits final : public UnitSource {
 public:
  CountedUnits(std::int64_t rows, std::int64_t unit_rows, std::size_t row_bytes, bool parts = false,
               int salt = 0)
      : rows_(rows), unit_rows_(unit_rows), row_bytes_(row_bytes), parts_(parts), salt_(salt) {}
  std::int64_t rows() const override { return rows_; }
  std::size_t row_bytes() const override { return row_bytes_; }
  std::int64_t units() const override { return (rows_ + unit_rows_ - 1) / unit_rows_; }
  Unit unit(std::int64_t index) const override {
    const std::int64_t first = index * unit_rows_;
    return {first, std::min(unit_rows_, rows_ - first)};
  }
  std::int64_t unit_of(std::int64_t row) const override { return row / unit_rows_; }
  std::int64_t read_unit(std::int64_t index, std::byte* out) const override {
    ++reads;
    return write(unit(index).first, unit(index).rows, out);
  }
  bool has_parts() const override { return parts_; }
  std::int64_t read_part(std::int64_t first, std::int64_t count, std::byte* out) const override {
    ++parts;
    return write(first, count, out);
  }
  std::string place(std::int64_t row) const override { return std::to_string(row); }
  std::string way() const override { return "a formula"; }

  mutable std::atomic<std::int64_t> reads{0}, parts{0};

 private:
  std::int64_t write(std::int64_t first, std::int64_t count, std::byte* out) const {
    for (std::int64_t row = first; row < first + count; ++row)
      for (std::size_t i = 0; i < row_bytes_; ++i) *out++ = byte_of(row, i, salt_);
    return count * static_cast<std::int64_t>(row_bytes_);
  }
  std::int64_t rows_, unit_rows_;
  std::size_t row_bytes_;
  bool parts_;
  int salt_;
};

// A field's rows behind a cache, opened with it.
struct CachedField {
  CachedField(comm::Communicator& communicator, const CacheOptions& options,
              std::shared_ptr<const CountedUnits> source, const std::string& version = "one")
      : units(std::move(source)), cache(make_unit_cache(options)) {
    Field field;
    field.path = "/train/x";
    field.pieces = {{0, field.path, 0, units->rows()}};
    auto cached = std::make_shared<const CachedRows>(field, units, cache);
    cache->open(communicator, version);
    rows = std::make_unique<UnitRows>(std::move(cached));
  }

  // How many of rows [first, first + count), read at once, are wrong.
  std::int64_t wrong(std::int64_t first, std::int64_t count, int salt = 0) {
    std::vector<std::byte> got(static_cast<std::size_t>(count) * units->row_bytes());
    KeptUnit kept;
    rows->read(first, count, got.data(), kept);
    std::int64_t bad = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const std::int64_t row = first + static_cast<std::int64_t>(i / units->row_bytes());
      if (got[i] != byte_of(row, i % units->row_bytes(), salt)) ++bad;
    }
    return bad;
  }
  std::int64_t wrong(int salt = 0) { return wrong(0, units->rows(), salt); }

  std::shared_ptr<const CountedUnits> units;
  std::shared_ptr<UnitCache> cache;
  std::unique_ptr<const RowSource> rows;
};

}  // namespace lockstep::data::testing
