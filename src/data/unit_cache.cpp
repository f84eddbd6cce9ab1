#include "unit_cache.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "folder_cache.h"
#include "lockstep/core/log.h"
#include "memory_cache.h"

namespace lockstep::data {
namespace {

// The first line of the ranks' reasons that says anything, on all ranks.
std::string first_reason(comm::Communicator& communicator, std::string mine) {
  std::replace(mine.begin(), mine.end(), '\n', ' ');
  if (!mine.empty()) mine += '\n';
  const auto all = communicator.gather_all(std::as_bytes(std::span(mine)));
  const std::string lines(reinterpret_cast<const char*>(all.data()), all.size());
  return lines.substr(0, lines.find('\n'));
}

std::string pieces_text(const Field& field) {
  std::string text = fmt::format("field {} {}\n", name_of(field.dtype), field.path);
  for (const Piece& piece : field.pieces)
    text += fmt::format("piece {} {} {} {} {} {}\n", static_cast<int>(field.layout), piece.file,
                        piece.path, piece.first, piece.samples, fmt::join(field.block, ","));
  return text;
}

}  // namespace

std::int64_t UnitCache::add(const Field& field, const UnitSource& units) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(units.units()));
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i] = units.unit(static_cast<std::int64_t>(i)).rows;
  const auto sizes = hash_bytes(rows.data(), rows.size() * sizeof(std::int64_t));
  const auto [known, is_new] =
      first_of_.try_emplace(fmt::format("{}{} units of rows of {} {}\n", pieces_text(field),
                                        rows.size(), units.row_bytes(), sizes.text()),
                            entries_);
  if (!is_new) return known->second;
  for (const std::int64_t count : rows) {
    const std::size_t bytes = record_bytes(static_cast<std::size_t>(count) * units.row_bytes());
    records_ += bytes;
    largest_record_ = std::max(largest_record_, bytes);
  }
  entries_ += units.units();
  return known->second;
}

void UnitCache::open(comm::Communicator& communicator, const std::string& version) {
  is_known_ = !version.empty();
  std::string named = "lockstep units 1\n" + version;
  for (const auto& [units, first] : first_of_) named += fmt::format("{} {}", first, units);
  version_ = hash_bytes(named.data(), named.size());
  comm::broadcast_value(communicator, version_);
  comm::broadcast_value(communicator, is_known_);
  const std::string wrong = first_reason(communicator, open_here(communicator));
  if (!wrong.empty()) log::warn("{}", wrong);
}

bool UnitCache::get(const Entry& entry, std::size_t offset, std::span<std::byte> out) {
  if (!read(entry, offset, out)) return false;
  bytes_read_.fetch_add(static_cast<std::int64_t>(out.size()), std::memory_order_relaxed);
  return true;
}

std::shared_ptr<UnitCache> make_unit_cache(const CacheOptions& options) {
  if (options.kind == Cache::kMemory) return std::make_shared<MemoryCache>(options);
  if (options.kind == Cache::kNode) return std::make_shared<FolderCache>(options);
  return nullptr;
}

CachedRows::CachedRows(const Field& field, std::shared_ptr<const UnitSource> units,
                       std::shared_ptr<UnitCache> cache)
    : units_(std::move(units)),
      cache_(std::move(cache)),
      first_entry_(cache_->add(field, *units_)) {}

std::int64_t CachedRows::read_unit(std::int64_t index, std::byte* out) const {
  const UnitCache::Entry wanted = entry(index, unit(index));
  if (cache_->get(wanted, 0, {out, wanted.bytes})) return 0;
  const std::int64_t bytes = units_->read_unit(index, out);
  cache_->put(wanted, out);
  return bytes;
}

// Of a unit that is to be kept all rows are read, once.
std::int64_t CachedRows::read_part(std::int64_t first, std::int64_t count, std::byte* out) const {
  const std::int64_t index = unit_of(first);
  const Unit whole = unit(index);
  const UnitCache::Entry wanted = entry(index, whole);
  const std::size_t offset = static_cast<std::size_t>(first - whole.first) * row_bytes();
  const std::size_t bytes = static_cast<std::size_t>(count) * row_bytes();
  if (cache_->get(wanted, offset, {out, bytes})) return 0;
  if (!cache_->wants(wanted)) return units_->read_part(first, count, out);
  std::vector<std::byte> rows(wanted.bytes);
  const std::int64_t read = units_->read_unit(index, rows.data());
  cache_->put(wanted, rows.data());
  std::copy_n(rows.data() + offset, bytes, out);
  return read;
}

}  // namespace lockstep::data
