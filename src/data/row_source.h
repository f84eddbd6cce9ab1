// Where a field's rows come from. UnitSource: in units, the rows that are read, checked, hashed and
// cached together; RowSource: any rows, of those a split has. Both know nothing of lanes, windows
// or normalisation.
//
//   DatasetRows (one HDF5 dataset) -> PiecedRows (several) -> VerifiedRows (hashes) -> CachedRows
//     -> UnitRows -> SelectedRows (a fraction) -> SequenceRows (tokens)
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lockstep/core/error.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

inline constexpr std::int64_t kUnitBytes = 256 << 10;

// Storage did not give the bytes, which another rank, or a later try, may get: no reason to skip a
// sample, for what is skipped must be the same for everybody.
class StorageError : public DataError {
 public:
  using DataError::DataError;
};

// A unit is a chunk of an HDF5 dataset; of contiguous data kUnitBytes of rows; one sample where a
// dataset is a sample or is cut into blocks. Units never reach over the end of a piece, so that the
// last one of a piece may be shorter.
class UnitSource {
 public:
  struct Unit {
    std::int64_t first = 0, rows = 0;
  };
  virtual ~UnitSource() = default;
  virtual std::int64_t rows() const = 0;
  virtual std::size_t row_bytes() const = 0;
  virtual std::int64_t units() const = 0;
  virtual Unit unit(std::int64_t index) const = 0;
  virtual std::int64_t unit_of(std::int64_t row) const = 0;
  // All rows of a unit, in this machine's byte order. Returns the bytes that came from storage.
  // Several threads may call. Throws DataError naming file, dataset and rows.
  virtual std::int64_t read_unit(std::int64_t index, std::byte* out) const = 0;
  // Whether rows of one unit can be had at no more cost than their bytes, by read_part().
  virtual bool has_parts() const { return false; }
  virtual std::int64_t read_part(std::int64_t first, std::int64_t count, std::byte* out) const;
  // Where a row lies, for messages: "a.h5, dataset /train/x, row 17".
  virtual std::string place(std::int64_t row) const = 0;
  // The way that is taken and why, for inspect: "chunks, decoded here (shuffle, deflate)".
  virtual std::string way() const = 0;
};

// The last unit that somebody who reads in order had to decode for a part of it.
struct KeptUnit {
  std::int64_t unit = -1;
  std::vector<std::byte> rows;
};

class RowSource {
 public:
  virtual ~RowSource() = default;
  // Copies rows [first, first + count) to out. Returns the bytes that came from storage. Several
  // threads may call, each with its own `kept`.
  virtual std::int64_t read(std::int64_t first, std::int64_t count, std::byte* out,
                            KeptUnit& kept) const = 0;
  // Where a row lies, for messages; of a sequence: where its token `element` does.
  virtual std::string place(std::int64_t row, std::int64_t element = 0) const = 0;
};

class UnitRows final : public RowSource {
 public:
  explicit UnitRows(std::shared_ptr<const UnitSource> units) : units_(std::move(units)) {}
  // Units that lie in the wanted rows go straight to `out`; of others all rows are decoded into
  // `kept`, unless parts of them can be had.
  std::int64_t read(std::int64_t first, std::int64_t count, std::byte* out,
                    KeptUnit& kept) const override;
  std::string place(std::int64_t row, std::int64_t) const override { return units_->place(row); }

 private:
  std::shared_ptr<const UnitSource> units_;
};

class UnitCache;
struct OpenOptions {
  bool verify = true;                // rows are compared with the hashes that the data have
  std::shared_ptr<UnitCache> cache;  // that the units are added to, before it is opened; or none
};
// The units of a field's pieces. Throws DataError if a dataset is no longer what the manifest says.
std::shared_ptr<const UnitSource> open_units(const Manifest& manifest, const Split& split,
                                             const Field& field, const OpenOptions& options = {});
// The rows of a split's field: with its selection and its sequences.
std::unique_ptr<const RowSource> open_rows(const Manifest& manifest, const Split& split,
                                           const Field& field, const OpenOptions& options = {});

}  // namespace lockstep::data
