#include "row_source.h"

#include <algorithm>
#include <cstring>

#include "hash_store.h"
#include "lockstep/core/error.h"
#include "pieced_rows.h"
#include "selected_rows.h"
#include "unit_cache.h"
#include "verified_rows.h"

namespace lockstep::data {
namespace {

// Sample i is rows [i * sequence + shift, (i + 1) * sequence + shift) of a stream of tokens.
class SequenceRows final : public RowSource {
 public:
  SequenceRows(std::unique_ptr<const RowSource> stream, const Field& field)
      : stream_(std::move(stream)), sequence_(field.sequence), shift_(field.shift) {}
  std::int64_t read(std::int64_t first, std::int64_t count, std::byte* out,
                    KeptUnit& kept) const override {
    return stream_->read(first * sequence_ + shift_, count * sequence_, out, kept);
  }
  std::string place(std::int64_t row, std::int64_t element) const override {
    return stream_->place(row * sequence_ + shift_ + element);
  }

 private:
  std::unique_ptr<const RowSource> stream_;
  std::int64_t sequence_, shift_;
};

}  // namespace

std::int64_t UnitSource::read_part(std::int64_t, std::int64_t, std::byte*) const {
  LOCKSTEP_CHECK(false, "units of {} are whole", way());
  return 0;
}

std::int64_t UnitRows::read(std::int64_t first, std::int64_t count, std::byte* out,
                            KeptUnit& kept) const {
  LOCKSTEP_CHECK(first >= 0 && count >= 0 && first + count <= units_->rows(), "rows {}+{} of {}",
                 first, count, units_->rows());
  const std::size_t row_bytes = units_->row_bytes();
  std::int64_t bytes = 0;
  for (std::int64_t row = first; row < first + count;) {
    const std::int64_t index = units_->unit_of(row);
    const UnitSource::Unit unit = units_->unit(index);
    const std::int64_t end = std::min(unit.first + unit.rows, first + count);
    const bool whole = row == unit.first && end == unit.first + unit.rows;
    std::byte* to = out + static_cast<std::size_t>(row - first) * row_bytes;
    if (kept.unit == index || (!whole && !units_->has_parts())) {
      if (kept.unit != index) {
        kept.unit = -1;  // stays so if reading throws
        kept.rows.resize(static_cast<std::size_t>(unit.rows) * row_bytes);
        bytes += units_->read_unit(index, kept.rows.data());
        kept.unit = index;
      }
      std::memcpy(to, kept.rows.data() + static_cast<std::size_t>(row - unit.first) * row_bytes,
                  static_cast<std::size_t>(end - row) * row_bytes);
    } else if (whole) {
      bytes += units_->read_unit(index, to);
    } else {
      bytes += units_->read_part(row, end - row, to);
    }
    row = end;
  }
  return bytes;
}

std::shared_ptr<const UnitSource> open_units(const Manifest& manifest, const Split&,
                                             const Field& field, const OpenOptions& options) {
  std::shared_ptr<const UnitSource> units;
  if (field.pieces.size() == 1 && field.layout == Layout::kRows) {
    Field rows = field;
    if (rows.sequence > 0) rows.sample = {};  // of the stream
    rows.sequence = 0;
    const Piece& piece = rows.pieces.front();
    units = open_piece(manifest.files.at(static_cast<std::size_t>(piece.file)),
                       Reach(manifest.follow, manifest.files), manifest.storage.get(), rows, piece);
  } else {
    units = std::make_shared<const PiecedRows>(manifest, field);
  }
  if (!field.hashes.empty())
    units = std::make_shared<const VerifiedRows>(std::move(units), read_hashes(manifest, field));
  if (options.cache)
    units = std::make_shared<const CachedRows>(field, std::move(units), options.cache);
  return units;
}

std::unique_ptr<const RowSource> open_rows(const Manifest& manifest, const Split& split,
                                           const Field& field, const OpenOptions& options) {
  std::unique_ptr<const RowSource> rows =
      std::make_unique<UnitRows>(open_units(manifest, split, field, options));
  if (split.selection.of > 0)
    rows = std::make_unique<SelectedRows>(std::move(rows), split.selection, field.sample_bytes());
  if (field.sequence > 0) rows = std::make_unique<SequenceRows>(std::move(rows), field);
  return rows;
}

}  // namespace lockstep::data
