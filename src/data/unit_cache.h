// Units that have been read once, kept nearer: in memory that the ranks of a node share, or in a
// file in a folder of the node. Bounded in bytes; when full, what is in it stays (all units are
// read equally often). Every entry carries its hashes, which are compared when it is read; a
// damaged one counts as absent. Knows no HDF5.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/hash.h"
#include "lockstep/data/loader.h"
#include "row_source.h"
#include "unit_record.h"

namespace lockstep::data {

class UnitCache {
 public:
  using Entry = CacheEntry;
  explicit UnitCache(const CacheOptions& options) : options_(options) {}
  virtual ~UnitCache() = default;

  // Before open(): room for the entries of these units of a field's pieces. Returns the number of
  // the first; fields of the same pieces have the same entries.
  std::int64_t add(const Field& field, const UnitSource& units);
  // Collective, once: takes the memory or opens the file. Before it, and where it fails, nothing is
  // kept: a cache that cannot be had as asked for is smaller or none, with a warning. `version`
  // names the data (version_of()), on rank 0.
  void open(comm::Communicator& communicator, const std::string& version);

  // Copies bytes [offset, offset + out.size()) of a unit's rows; false if they are not here.
  // Several threads of several ranks may call what follows.
  bool get(const Entry& entry, std::size_t offset, std::span<std::byte> out);
  // Whether put() would keep it.
  virtual bool wants(const Entry& entry) = 0;
  // Keeps the rows of a whole unit if there is room and nobody else is at it. Never throws: a cache
  // that fails keeps no more, with one warning.
  virtual void put(const Entry& entry, const std::byte* rows) = 0;

  // Of memory, this rank's share, for the ledger; before open(): for so many ranks of a node.
  virtual std::size_t memory(int local_ranks) const = 0;
  virtual std::string text() const = 0;  // what it is and how large
  std::int64_t bytes_read() const { return bytes_read_.load(std::memory_order_relaxed); }
  std::int64_t damaged() const { return damaged_.load(std::memory_order_relaxed); }

 protected:
  // What went wrong, or ""; said once for the node.
  virtual std::string open_here(comm::Communicator& communicator) = 0;
  virtual bool read(const Entry& entry, std::size_t offset, std::span<std::byte> out) = 0;

  std::int64_t entries() const { return entries_; }
  std::size_t records() const { return records_; }  // bytes of all of them, and of the largest
  std::size_t largest_record() const { return largest_record_; }
  void is_damaged() { damaged_.fetch_add(1, std::memory_order_relaxed); }

  const CacheOptions options_;
  Hash128 version_;        // of the data and of the entries' sizes
  bool is_known_ = false;  // the version of the data; else another run's entries are not to be used

 private:
  std::int64_t entries_ = 0;
  std::size_t records_ = 0, largest_record_ = 0;
  std::map<std::string, std::int64_t> first_of_;  // by a field's pieces and its units' sizes
  std::atomic<std::int64_t> bytes_read_{0}, damaged_{0};
};

// Null for Cache::kNone.
std::shared_ptr<UnitCache> make_unit_cache(const CacheOptions& options);

// Names the version of a split's data: Manifest::id where there is one, else the files' names,
// sizes and times of change. "" where nobody knows all files: of virtual datasets and external
// storage.
std::string version_of(const Manifest& manifest, const Split& split);

// Units that are read from the cache where they are there, and put there where they are not.
class CachedRows final : public UnitSource {
 public:
  CachedRows(const Field& field, std::shared_ptr<const UnitSource> units,
             std::shared_ptr<UnitCache> cache);
  std::int64_t rows() const override { return units_->rows(); }
  std::size_t row_bytes() const override { return units_->row_bytes(); }
  std::int64_t units() const override { return units_->units(); }
  Unit unit(std::int64_t index) const override { return units_->unit(index); }
  std::int64_t unit_of(std::int64_t row) const override { return units_->unit_of(row); }
  std::int64_t read_unit(std::int64_t index, std::byte* out) const override;
  bool has_parts() const override { return units_->has_parts(); }
  std::int64_t read_part(std::int64_t first, std::int64_t count, std::byte* out) const override;
  std::string place(std::int64_t row) const override { return units_->place(row); }
  std::string way() const override { return units_->way(); }

 private:
  UnitCache::Entry entry(std::int64_t index, const Unit& unit) const {
    return {first_entry_ + index, static_cast<std::size_t>(unit.rows) * row_bytes()};
  }
  std::shared_ptr<const UnitSource> units_;
  std::shared_ptr<UnitCache> cache_;
  std::int64_t first_entry_;
};

}  // namespace lockstep::data
