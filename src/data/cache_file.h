// The file of a cache: a header that names the version, a word for each entry, and a pool of
// records laid one behind the other. Used by several processes at once, which may be killed at any
// moment; never mapped, so that nothing that happens to the file can do more than fail a read.
// What is read from it is not to be trusted: records carry their hashes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>

#include "lockstep/core/hash.h"

namespace lockstep::data {

class CacheFile {
 public:
  // Where an entry's record lies in the file, and whether it was written to its end.
  struct Word {
    std::uint64_t at = 0;  // 0: it has no place
    bool there = false;
  };

  // Opens the file, which others may have open; `make` it if it is not there, or damaged, and give
  // it a size of at most `bytes`, all of it reserved, if nobody else uses it. Throws UserError.
  struct Wanted {
    Hash128 version;
    std::int64_t entries = 0;
    std::size_t records = 0;  // bytes of all records together: more is not needed
    std::size_t bytes = 0;    // of the file at most; 0: half of what is free
  };
  CacheFile(const std::filesystem::path& path, const Wanted& wanted, bool make);
  ~CacheFile();
  CacheFile(const CacheFile&) = delete;
  CacheFile& operator=(const CacheFile&) = delete;

  std::size_t bytes() const { return size_; }
  // Less was free than was asked for: why, or "".
  const std::string& smaller() const { return smaller_; }

  Word word(std::int64_t entry) const;
  // A place for a record, its own if it has one already. at == 0: there is no room.
  Word take_place(std::int64_t entry, std::size_t record);
  void is_there(std::int64_t entry, std::uint64_t at);
  bool read(std::uint64_t at, std::size_t bytes, std::byte* to) const;  // false: it cannot be read
  // Throws UserError.
  void write(std::uint64_t at, const std::byte* from, std::size_t bytes);

 private:
  bool has_header() const;
  void start_afresh();
  void resize(std::size_t bytes);
  void forget_beyond(std::size_t bytes);
  std::size_t allowed();
  std::size_t pool_at() const;
  std::uint64_t used() const;
  void finish_last_place();
  std::uint64_t word_at(std::int64_t entry) const;

  std::filesystem::path path_;
  Wanted wanted_;
  int fd_ = -1;
  std::size_t size_ = 0;
  std::string smaller_;
  std::mutex mutex_;  // of places: the file's lock is the process's
};

}  // namespace lockstep::data
