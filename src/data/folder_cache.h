// A cache in a file of a folder of the node, which the ranks of the node and other runs on the same
// version of the data share, and which stays for later runs. Nothing outside of the folder is
// touched, and nothing in it but this version's file.
#pragma once
#include <atomic>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cache_file.h"
#include "unit_cache.h"

namespace lockstep::data {

class FolderCache final : public UnitCache {
 public:
  explicit FolderCache(const CacheOptions& options) : UnitCache(options) {}
  bool wants(const Entry& entry) override;
  void put(const Entry& entry, const std::byte* rows) override;
  std::size_t memory(int local_ranks) const override;
  std::string text() const override;

 protected:
  std::string open_here(comm::Communicator& communicator) override;
  bool read(const Entry& entry, std::size_t offset, std::span<std::byte> out) override;

 private:
  std::string open_file(bool make);
  void keep_no_more(const std::string& why);

  std::filesystem::path path_;
  std::unique_ptr<CacheFile> file_;
  // Of each entry, as far as this rank knows: where its record lies, 0 if it is not there, or
  // kDamaged.
  std::vector<std::atomic<std::uint64_t>> records_at_;
  std::atomic<bool> keeps_{false};
  // Records of so many bytes found no room.
  std::atomic<std::size_t> too_large_{SIZE_MAX};
};

// Where caches are kept when nobody says: $SLURM_TMPDIR, else $TMPDIR, else /tmp.
std::filesystem::path default_cache_folder();

}  // namespace lockstep::data
