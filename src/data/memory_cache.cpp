#include "memory_cache.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "lockstep/core/error.h"
#include "lockstep/core/memory.h"
#include "lockstep/core/units.h"

namespace lockstep::data {
namespace {

// An entry's word: its state in the low bits, above them where its record lies, or 0.
enum State : std::uint64_t { kAbsent = 0, kWriting = 1, kThere = 2 };
constexpr int kStateBits = 2;
State state_of(std::uint64_t word) { return static_cast<State>(word & 3); }
std::uint64_t place_of(std::uint64_t word) { return word >> kStateBits; }
std::uint64_t word_of(std::uint64_t place, State state) { return place << kStateBits | state; }

// A place: the part, and in it the line, counted from 1.
constexpr int kLineBits = 40;  // 64 TiB a part
constexpr std::uint64_t kLineMask = (std::uint64_t{1} << kLineBits) - 1;

constexpr std::size_t kPage = 4096;

// A rank that is alone on its node has no need of /dev/shm.
std::size_t free_now(int local_ranks) {
  std::uint64_t free = free_memory();
  struct statvfs system {};
  if (local_ranks > 1 && ::statvfs("/dev/shm", &system) == 0)
    free = std::min(free, std::uint64_t{system.f_bavail} * system.f_frsize);
  return free;
}

std::size_t least_of_node(comm::Communicator& communicator, std::size_t mine) {
  const comm::Topology& topology = communicator.topology();
  const auto all = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  for (int p = topology.node_begin[topology.node()]; p < topology.node_begin[topology.node() + 1];
       ++p) {
    std::size_t other = 0;
    std::memcpy(&other, all.data() + sizeof(other) * static_cast<std::size_t>(p), sizeof(other));
    mine = std::min(mine, other);
  }
  return mine;
}

}  // namespace

struct alignas(kRecordLine) MemoryCache::PartHeader {
  std::atomic<std::uint64_t> used;  // bytes of the part, from its begin
  std::uint64_t bytes;
};

std::size_t MemoryCache::words_bytes() const {
  return to_record_line(static_cast<std::size_t>(entries()) * sizeof(std::uint64_t));
}

// At the end of each part less than a record may be left.
std::size_t MemoryCache::all_bytes(int local_ranks) const {
  const auto ranks = static_cast<std::size_t>(local_ranks);
  return words_bytes() + records() + ranks * (sizeof(PartHeader) + largest_record() + kPage);
}

std::size_t MemoryCache::node_bytes(int local_ranks) const {
  const std::size_t all = all_bytes(local_ranks);
  if (options_.bytes > 0) return std::min(all, static_cast<std::size_t>(options_.bytes));
  if (free_ == 0) free_ = free_now(local_ranks);
  return std::min(all, free_ / 2);
}

std::size_t MemoryCache::memory(int local_ranks) const {
  if (window_ != nullptr) return window_->bytes(local_);
  return opened_ ? 0 : node_bytes(local_ranks) / static_cast<std::size_t>(local_ranks);
}

std::string MemoryCache::text() const {
  return fmt::format("of {} of samples, shared on the node",
                     bytes_text(static_cast<double>(records())));
}

MemoryCache::PartHeader& MemoryCache::header(int part) const {
  return *std::launder(reinterpret_cast<PartHeader*>(window_->part(part)));
}

std::atomic<std::uint64_t>& MemoryCache::word(const Entry& entry) const {
  std::byte* const words = window_->part(0) + sizeof(PartHeader);
  return *std::launder(reinterpret_cast<std::atomic<std::uint64_t>*>(words) + entry.index);
}

std::byte* MemoryCache::record(std::uint64_t place) const {
  return window_->part(static_cast<int>(place >> kLineBits)) +
         ((place & kLineMask) - 1) * kRecordLine;
}

std::string MemoryCache::open_here(comm::Communicator& communicator) {
  const comm::Topology& topology = communicator.topology();
  opened_ = true;
  parts_ = topology.local_ranks();
  local_ = topology.local();
  const auto ranks = static_cast<std::size_t>(parts_);
  const std::size_t words = words_bytes();
  std::size_t bytes = least_of_node(communicator, node_bytes(parts_));
  std::string wrong;
  while (window_ == nullptr) {
    const std::size_t share = bytes > words ? (bytes - words) / ranks / kPage * kPage : 0;
    if (share == 0) {
      if (wrong.empty())
        wrong = fmt::format(
            "{} of memory are too little for a cache of the data: raise "
            "data.cache_bytes",
            bytes_text(static_cast<double>(bytes)));
      return wrong + "; the data are not cached";
    }
    try {
      window_ =
          communicator.make_window(share + (local_ == 0 ? words : 0), "the cache of the data");
    } catch (const UserError& error) {  // on all ranks of the node
      if (wrong.empty()) wrong = error.what();
      bytes /= 2;
    }
  }
  new (window_->part(local_))
      PartHeader{sizeof(PartHeader) + (local_ == 0 ? words : 0), window_->bytes(local_)};
  if (wrong.empty()) return {};
  return fmt::format("{}; the cache has {}", wrong, bytes_text(static_cast<double>(bytes)));
}

bool MemoryCache::read(const Entry& entry, std::size_t offset, std::span<std::byte> out) {
  if (window_ == nullptr) return false;
  std::uint64_t seen = word(entry).load(std::memory_order_acquire);
  if (state_of(seen) != kThere) return false;
  const std::byte* const from = record(place_of(seen));
  const auto fetch = [&](std::size_t at, std::size_t bytes, std::byte* to) {
    std::memcpy(to, from + at, bytes);
    return true;
  };
  if (read_record(version_, entry, offset, out, fetch)) return true;
  is_damaged();
  word(entry).compare_exchange_strong(seen, word_of(place_of(seen), kAbsent));
  return false;
}

bool MemoryCache::wants(const Entry& entry) {
  if (window_ == nullptr) return false;
  const std::uint64_t seen = word(entry).load(std::memory_order_relaxed);
  if (state_of(seen) != kAbsent) return false;
  if (place_of(seen) != 0) return true;
  const std::size_t bytes = record_bytes(entry.bytes);
  for (int part = 0; part < parts_; ++part)
    if (header(part).used.load(std::memory_order_relaxed) + bytes <= header(part).bytes)
      return true;
  return false;
}

std::uint64_t MemoryCache::take_place(std::size_t bytes) {
  for (int i = 0; i < parts_; ++i) {
    const int part = (local_ + i) % parts_;
    PartHeader& pool = header(part);
    std::uint64_t used = pool.used.load(std::memory_order_relaxed);
    while (used + bytes <= pool.bytes)
      if (pool.used.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed))
        return static_cast<std::uint64_t>(part) << kLineBits | (used / kRecordLine + 1);
  }
  return 0;
}

void MemoryCache::put(const Entry& entry, const std::byte* rows) {
  if (!wants(entry)) return;
  std::uint64_t seen = word(entry).load(std::memory_order_relaxed);
  if (state_of(seen) != kAbsent ||
      !word(entry).compare_exchange_strong(seen, word_of(place_of(seen), kWriting),
                                           std::memory_order_acquire))
    return;
  std::uint64_t place = place_of(seen);
  if (place == 0) place = take_place(record_bytes(entry.bytes));
  if (place == 0) return word(entry).store(word_of(0, kAbsent), std::memory_order_relaxed);
  std::byte* const to = record(place);
  const auto hashes = block_hashes(version_, entry, rows);
  std::memcpy(to, hashes.data(), hashes.size() * sizeof(hashes[0]));
  std::memcpy(to + record_rows_at(entry.bytes), rows, entry.bytes);
  word(entry).store(word_of(place, kThere), std::memory_order_release);
}

}  // namespace lockstep::data
