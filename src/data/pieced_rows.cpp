#include "pieced_rows.h"

#include <algorithm>

#include "dataset_header.h"
#include "dataset_rows.h"
#include "lockstep/core/error.h"
#include "sources.h"

namespace lockstep::data {
namespace {

void check_alike(const Field& field, const Located& at) {
  const std::string where = at.file->path().string();
  DatasetHeader header;
  {
    const Hdf5Lock lock;
    const Handle dataset = open_located(*at.file, at.path);
    if (!dataset) throw DataError("{}: {} is no dataset ({})", where, at.path, hdf5_reason());
    header = read_header(dataset.get(), where, at.path);
  }
  Field told = like(field);
  apply_header(header, where, at.path, told);
  if (told.dtype == field.dtype && told.sample == field.sample) return;
  throw DataError(
      "{}: dataset {} is a sample of {} {}, but those of the field {} are of {} {}, as in the "
      "first "
      "file",
      where, at.path, name_of(told.dtype), told.sample.text(), field.name, name_of(field.dtype),
      field.sample.text());
}

std::vector<std::string> names_of(const std::vector<std::filesystem::path>& files) {
  std::vector<std::string> names;
  names.reserve(files.size());
  for (const auto& file : files) names.push_back(file.string());
  return names;
}

// All rows of a piece that is one sample are that sample.
std::int64_t row_in(const Field& field, std::int64_t row) {
  return field.layout == Layout::kSample ? 0 : row;
}

}  // namespace

std::shared_ptr<const UnitSource> open_piece(const std::filesystem::path& file, const Reach& reach,
                                             const StorageTable* storage, const Field& field,
                                             const Piece& piece) {
  Piece one = piece;
  if (field.layout == Layout::kSample) one.samples = 1;
  if (storage != nullptr && storage->find(piece.file, piece.path))
    return open_dataset(storage, open_input(file, InputFile::Hdf5::kWhenNeeded), one, field);
  const auto at = locate(open_input(file), piece.path, reach);
  if (!at)
    throw DataError("{}: there is no dataset {} for the field {}", file.string(), piece.path,
                    field.name);
  check_sources(*at, reach);
  if (!is_checked(field)) check_alike(field, *at);
  one.path = at->path;
  return open_dataset(nullptr, at->file, one, field);
}

PiecedRows::PiecedRows(const Manifest& manifest, const Field& field)
    : files_(names_of(manifest.files)),
      storage_(manifest.storage),
      field_(field),
      reach_(manifest.follow, manifest.files),
      first_row_{0},
      first_unit_{0} {
  if (field_.sequence > 0) field_.sample = {};  // rows of the stream
  field_.sequence = 0;
  row_bytes_ = field_.sample_bytes();
  unit_rows_ = field_.chunk > 0
                   ? field_.chunk
                   : std::max<std::int64_t>(kUnitBytes / static_cast<std::int64_t>(row_bytes_), 1);
  for (const Piece& piece : field_.pieces) {
    first_row_.push_back(first_row_.back() + piece.samples);
    first_unit_.push_back(first_unit_.back() + (piece.samples + unit_rows_ - 1) / unit_rows_);
  }
}

std::size_t PiecedRows::piece_of(std::int64_t row) const {
  return static_cast<std::size_t>(
      std::upper_bound(first_row_.begin() + 1, first_row_.end() - 1, row) -
      (first_row_.begin() + 1));
}

UnitSource::Unit PiecedRows::unit(std::int64_t index) const {
  const auto piece = static_cast<std::size_t>(
      std::upper_bound(first_unit_.begin() + 1, first_unit_.end() - 1, index) -
      (first_unit_.begin() + 1));
  const std::int64_t first = first_row_[piece] + (index - first_unit_[piece]) * unit_rows_;
  return {first, std::min(unit_rows_, first_row_[piece + 1] - first)};
}

std::int64_t PiecedRows::unit_of(std::int64_t row) const {
  const std::size_t piece = piece_of(row);
  return first_unit_[piece] + (row - first_row_[piece]) / unit_rows_;
}

std::int64_t PiecedRows::read_unit(std::int64_t index, std::byte* out) const {
  const Unit wanted = unit(index);
  const std::size_t piece = piece_of(wanted.first);
  const auto rows = open(piece);
  const std::int64_t first = row_in(field_, wanted.first - first_row_[piece]);
  const std::int64_t theirs = rows->unit_of(first);
  const Unit have = rows->unit(theirs);
  if (have.first == first && have.rows == wanted.rows) return rows->read_unit(theirs, out);
  return read_part(wanted.first, wanted.rows, out);
}

// Of one piece.
std::int64_t PiecedRows::read_part(std::int64_t first, std::int64_t count, std::byte* out) const {
  const std::size_t piece = piece_of(first);
  const UnitRows rows(open(piece));  // chunks may differ from piece to piece
  KeptUnit kept;
  if (field_.layout != Layout::kSample)
    return rows.read(first - first_row_[piece], count, out, kept);
  std::int64_t bytes = 0;
  for (std::int64_t i = 0; i < count; ++i)
    bytes += rows.read(0, 1, out + static_cast<std::size_t>(i) * row_bytes_, kept);
  return bytes;
}

std::string PiecedRows::place(std::int64_t row) const {
  const std::size_t piece = piece_of(row);
  return open(piece)->place(row_in(field_, row - first_row_[piece]));
}

std::string PiecedRows::way() const {
  if (field_.pieces.size() == 1) return open(0)->way();
  return fmt::format("{} pieces; the first: {}", field_.pieces.size(), open(0)->way());
}

std::shared_ptr<const UnitSource> PiecedRows::open(std::size_t piece) const {
  {
    const std::scoped_lock lock(mutex_);
    if (const auto known = known_.find(piece); known != known_.end()) {
      open_.splice(open_.begin(), open_, known->second);
      return open_.front().rows;
    }
  }
  const Piece& wanted = field_.pieces[piece];
  auto rows = open_piece(files_.at(static_cast<std::size_t>(wanted.file)), reach_, storage_.get(),
                         field_, wanted);
  std::shared_ptr<const UnitSource> last;  // closed without the mutex
  const std::scoped_lock lock(mutex_);
  if (const auto known = known_.find(piece); known != known_.end()) return known->second->rows;
  open_.push_front({piece, rows});
  known_[piece] = open_.begin();
  if (open_.size() > kMostOpen) {
    last = std::move(open_.back().rows);
    known_.erase(open_.back().piece);
    open_.pop_back();
  }
  return rows;
}

}  // namespace lockstep::data
