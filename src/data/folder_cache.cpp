#include "folder_cache.h"

#include <unistd.h>

#include <cstdlib>

#include "lockstep/core/error.h"
#include "lockstep/core/host.h"
#include "lockstep/core/log.h"
#include "lockstep/core/units.h"

namespace lockstep::data {
namespace {

constexpr std::uint64_t kNowhere = 0, kDamaged = 1;

}  // namespace

std::filesystem::path default_cache_folder() {
  for (const char* name : {"SLURM_TMPDIR", "TMPDIR"})
    if (const char* folder = std::getenv(name); folder != nullptr && *folder != '\0') return folder;
  return "/tmp";
}

std::size_t FolderCache::memory(int) const {
  return static_cast<std::size_t>(entries()) * sizeof(records_at_[0]);
}

std::string FolderCache::text() const {
  const std::string size = bytes_text(static_cast<double>(records()));
  if (file_ == nullptr) return fmt::format("knows which units of {} are there", size);
  return fmt::format("knows which units of {} are in {}, of {}", size, path_.string(),
                     bytes_text(static_cast<double>(file_->bytes())));
}

std::string FolderCache::open_here(comm::Communicator& communicator) {
  const std::filesystem::path folder =
      options_.folder.empty() ? default_cache_folder() : std::filesystem::path(options_.folder);
  if (!is_known_)
    return "the dataset has no id, and is virtual or has external storage, so that nobody can tell "
           "whether it has changed; it is not cached in files: use data.cache = \"memory\", or "
           "give it an id (lockstep inspect --seal)";
  // The user's number: a folder for all is everybody's, and a file of another user is not to be
  // trusted.
  path_ = folder / fmt::format("lockstep-cache-{}-{}", ::geteuid(), version_.text());
  records_at_ = std::vector<std::atomic<std::uint64_t>>(static_cast<std::size_t>(entries()));
  const bool first = communicator.topology().local() == 0;
  std::string wrong;
  if (first) wrong = open_file(true);
  communicator.barrier();
  if (!first) wrong = open_file(false);
  return wrong;
}

std::string FolderCache::open_file(bool make) {
  try {
    if (make) std::filesystem::create_directories(path_.parent_path());
    const CacheFile::Wanted wanted{version_, entries(), records(),
                                   static_cast<std::size_t>(options_.bytes)};
    file_ = std::make_unique<CacheFile>(path_, wanted, make);
  } catch (const std::exception& error) {
    return fmt::format("{} on {}; the data are not cached there", error.what(), host_name());
  }
  keeps_ = true;
  if (file_->smaller().empty()) return {};
  return fmt::format("on {} {}; it takes {}: name another data.cache_dir for more", host_name(),
                     file_->smaller(), bytes_text(static_cast<double>(file_->bytes())));
}

bool FolderCache::read(const Entry& entry, std::size_t offset, std::span<std::byte> out) {
  if (file_ == nullptr) return false;
  std::atomic<std::uint64_t>& known = records_at_[static_cast<std::size_t>(entry.index)];
  std::uint64_t begin = known.load(std::memory_order_relaxed);
  if (begin == kDamaged) return false;
  if (begin == kNowhere) {
    const CacheFile::Word word = file_->word(entry.index);
    if (!word.there) return false;
    known.store(begin = word.at, std::memory_order_relaxed);
  }
  const auto fetch = [&](std::size_t at, std::size_t bytes, std::byte* to) {
    return file_->read(begin + at, bytes, to);
  };
  if (read_record(version_, entry, offset, out, fetch)) return true;
  is_damaged();
  known.store(kDamaged, std::memory_order_relaxed);  // until put() writes it again
  return false;
}

bool FolderCache::wants(const Entry& entry) {
  return keeps_.load(std::memory_order_relaxed) &&
         records_at_[static_cast<std::size_t>(entry.index)].load(std::memory_order_relaxed) <=
             kDamaged &&
         record_bytes(entry.bytes) < too_large_.load(std::memory_order_relaxed);
}

// Two that write the same record write the same bytes.
void FolderCache::put(const Entry& entry, const std::byte* rows) {
  if (!wants(entry)) return;
  try {
    const CacheFile::Word place = file_->take_place(entry.index, record_bytes(entry.bytes));
    if (place.at == 0) {
      too_large_.store(
          std::min(too_large_.load(std::memory_order_relaxed), record_bytes(entry.bytes)),
          std::memory_order_relaxed);
      return;
    }
    const auto hashes = block_hashes(version_, entry, rows);
    file_->write(place.at, reinterpret_cast<const std::byte*>(hashes.data()),
                 hashes.size() * sizeof(hashes[0]));
    file_->write(place.at + record_rows_at(entry.bytes), rows, entry.bytes);
    file_->is_there(entry.index, place.at);
    records_at_[static_cast<std::size_t>(entry.index)].store(place.at, std::memory_order_relaxed);
  } catch (const std::exception& error) {
    keep_no_more(error.what());
  }
}

void FolderCache::keep_no_more(const std::string& why) {
  if (keeps_.exchange(false))
    log::warn("{}; the cache of the data on {} keeps no more", why, host_name());
}

}  // namespace lockstep::data
