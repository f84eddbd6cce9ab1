#include "verified_rows.h"

#include <algorithm>
#include <cstring>

#include "lockstep/core/error.h"

namespace lockstep::data {

VerifiedRows::VerifiedRows(std::shared_ptr<const UnitSource> units, UnitHashes hashes)
    : units_(std::move(units)), hashes_(std::move(hashes)) {
  if (static_cast<std::int64_t>(hashes_.size()) != units_->units())
    throw DataError("{}: there are hashes of {} chunks, and {} chunks; import or seal it again",
                    units_->place(0), hashes_.size(), units_->units());
}

std::int64_t VerifiedRows::read_unit(std::int64_t index, std::byte* out) const {
  const std::int64_t bytes = units_->read_unit(index, out);
  const Unit unit = units_->unit(index);
  const Hash128 hash = hash_bytes(out, static_cast<std::size_t>(unit.rows) * row_bytes());
  if (hash == hashes_[static_cast<std::size_t>(index)]) return bytes;
  throw DataError(
      "{}: the {} row{} from here, chunk {} of {}, are not what was hashed: their bytes changed; "
      "copy "
      "or import the file again",
      units_->place(unit.first), unit.rows, unit.rows == 1 ? "" : "s", index, units());
}

std::int64_t VerifiedRows::read_part(std::int64_t first, std::int64_t count, std::byte* out) const {
  const std::int64_t index = unit_of(first);
  const Unit whole = unit(index);
  auto rows = find_kept(index);
  std::int64_t bytes = 0;
  if (!rows) {
    std::vector<std::byte> all(static_cast<std::size_t>(whole.rows) * row_bytes());
    bytes = read_unit(index, all.data());
    rows = std::make_shared<const std::vector<std::byte>>(std::move(all));
    keep({index, rows});
  }
  std::memcpy(out, rows->data() + static_cast<std::size_t>(first - whole.first) * row_bytes(),
              static_cast<std::size_t>(count) * row_bytes());
  return bytes;
}

std::shared_ptr<const std::vector<std::byte>> VerifiedRows::find_kept(std::int64_t unit) const {
  const std::scoped_lock lock(mutex_);
  const auto found =
      std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) { return kept.unit == unit; });
  if (found == kept_.end()) return nullptr;
  kept_.splice(kept_.begin(), kept_, found);
  return kept_.front().rows;
}

void VerifiedRows::keep(Kept unit) const {
  if (unit.rows->size() > kMostKeptUnit) return;
  const std::scoped_lock lock(mutex_);
  kept_bytes_ += unit.rows->size();
  kept_.push_front(std::move(unit));
  while (kept_bytes_ > kMostKept) {
    kept_bytes_ -= kept_.back().rows->size();
    kept_.pop_back();
  }
}

}  // namespace lockstep::data
