// A cache in the memory that the ranks of a node share: one copy a node. Each rank's part of the
// window is a pool that records are laid into one behind the other; the first part begins with a
// word for each entry, that says where its record is and whether it is there.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "unit_cache.h"

namespace lockstep::data {

class MemoryCache final : public UnitCache {
 public:
  explicit MemoryCache(const CacheOptions& options) : UnitCache(options) {}
  bool wants(const Entry& entry) override;
  void put(const Entry& entry, const std::byte* rows) override;
  std::size_t memory(int local_ranks) const override;
  std::string text() const override;

 protected:
  std::string open_here(comm::Communicator& communicator) override;
  bool read(const Entry& entry, std::size_t offset, std::span<std::byte> out) override;

 private:
  struct PartHeader;
  std::size_t words_bytes() const;                // of the first part
  std::size_t all_bytes(int local_ranks) const;   // of a node, where everything is kept
  std::size_t node_bytes(int local_ranks) const;  // as many as it may be
  PartHeader& header(int part) const;
  std::atomic<std::uint64_t>& word(const Entry& entry) const;
  std::byte* record(std::uint64_t place) const;
  // Where there is room for so many bytes, taken; this rank's part first. 0: nowhere.
  std::uint64_t take_place(std::size_t bytes);

  std::unique_ptr<comm::SharedWindow> window_;
  bool opened_ = false;
  int parts_ = 0, local_ = 0;
  mutable std::size_t free_ = 0;  // when it was asked first
};

}  // namespace lockstep::data
