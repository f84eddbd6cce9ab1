#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <barrier>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include "counted_units.h"
#include "data/folder_cache.h"
#include "files.h"

namespace lockstep::data {
namespace {

using namespace testing;

constexpr std::int64_t kRows = 1009, kUnitRows = 30, kUnits = 34;
constexpr std::size_t kRowBytes = 301;  // 2.2 blocks a unit

comm::Communicator& alone() {
  static const auto communicator = comm::make_self_communicator();
  return *communicator;
}

std::shared_ptr<const CountedUnits> units(bool parts = false, int salt = 0) {
  return std::make_shared<const CountedUnits>(kRows, kUnitRows, kRowBytes, parts, salt);
}

CacheOptions in_memory(std::int64_t bytes = 0) { return {Cache::kMemory, "", bytes}; }
CacheOptions in_folder(const fs::path& folder, std::int64_t bytes = 0) {
  return {Cache::kNode, folder.string(), bytes};
}

fs::path only_file(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  EXPECT_EQ(files.size(), 1U);
  return files.at(0);
}

bool is_right(const Hash128& version, const CacheEntry& entry, const std::vector<std::byte>& record,
              std::size_t offset, std::span<std::byte> out) {
  return read_record(version, entry, offset, out,
                     [&](std::size_t at, std::size_t bytes, std::byte* to) {
                       if (at + bytes > record.size()) return false;
                       std::copy_n(record.data() + at, bytes, to);
                       return true;
                     });
}

TEST(UnitRecord, gives_back_any_part_of_its_rows_and_nothing_that_was_changed) {
  const Hash128 version{3, 4};
  std::mt19937 random(1);
  for (const std::size_t bytes : {1UL, 7UL, 4095UL, 4096UL, 4097UL, 8192UL, 262144UL, 300001UL}) {
    const CacheEntry entry{5, bytes};
    std::vector<std::byte> rows(bytes);
    for (auto& b : rows) b = static_cast<std::byte>(random());
    std::vector<std::byte> record(record_bytes(bytes));
    const auto hashes = block_hashes(version, entry, rows.data());
    std::memcpy(record.data(), hashes.data(), hashes.size() * sizeof(Hash128));
    std::copy(rows.begin(), rows.end(), record.begin() + static_cast<long>(record_rows_at(bytes)));
    for (int i = 0; i < 50; ++i) {
      const std::size_t begin = i == 0 ? 0 : random() % bytes;
      const std::size_t count = i == 0 ? bytes : 1 + random() % (bytes - begin);
      std::vector<std::byte> out(count);
      ASSERT_TRUE(is_right(version, entry, record, begin, out)) << bytes << " " << begin;
      ASSERT_TRUE(std::equal(out.begin(), out.end(), rows.begin() + static_cast<long>(begin)));
      // A bit of what was read or of its hash.
      const std::size_t at = begin + random() % count;
      const std::size_t bad = i % 2 == 0 ? record_rows_at(bytes) + at
                                         : at / kRecordBlock * sizeof(Hash128) + random() % 16;
      const auto bit = static_cast<std::byte>(1 << random() % 8);
      record[bad] ^= bit;
      EXPECT_FALSE(is_right(version, entry, record, begin, out)) << bytes << " " << bad;
      record[bad] ^= bit;
    }
    std::vector<std::byte> out(bytes);
    EXPECT_FALSE(is_right({3, 5}, entry, record, 0, out));
    EXPECT_FALSE(is_right(version, {6, bytes}, record, 0, out));
    EXPECT_FALSE(is_right(version, entry, std::vector<std::byte>(record.size()), 0, out));
  }
}

TEST(UnitCache, reads_each_unit_once_from_its_source) {
  TemporaryFolder folder;
  for (const auto& options : {in_memory(), in_folder(folder.path())}) {
    CachedField field(alone(), options, units());
    EXPECT_EQ(field.wrong(), 0);
    EXPECT_EQ(field.units->reads, kUnits);
    EXPECT_EQ(field.cache->bytes_read(), 0);
    EXPECT_EQ(field.wrong(), 0);
    EXPECT_EQ(field.wrong(17, 3), 0);
    EXPECT_EQ(field.units->reads, kUnits);
    EXPECT_GE(field.cache->bytes_read(), kRows * static_cast<std::int64_t>(kRowBytes));
    EXPECT_EQ(field.cache->damaged(), 0);
  }
}

TEST(UnitCache, gives_parts_of_units_whose_source_has_parts) {
  TemporaryFolder folder;
  for (const auto& options : {in_memory(), in_folder(folder.path())}) {
    CachedField field(alone(), options, units(true));
    for (std::int64_t row = 0; row < kRows; row += 7)
      EXPECT_EQ(field.wrong(row, std::min<std::int64_t>(7, kRows - row)), 0);
    EXPECT_EQ(field.units->reads, kUnits);
    EXPECT_EQ(field.units->parts, 0);
  }
}

TEST(UnitCache, keeps_what_came_first_where_there_is_no_room_for_all) {
  for (const std::int64_t bytes : {20000, 50000, 200000}) {
    TemporaryFolder folder;
    for (const auto& options : {in_memory(bytes), in_folder(folder.path(), bytes)})
      for (const bool parts : {false, true}) {
        CachedField field(alone(), options, units(parts), parts ? "with parts" : "whole");
        for (int epoch = 0; epoch < 3; ++epoch) EXPECT_EQ(field.wrong(5, 990), 0);
        EXPECT_GT(field.units->reads + field.units->parts, kUnits) << bytes;
        EXPECT_LE(field.cache->memory(1), static_cast<std::size_t>(bytes));
        if (bytes > 20000) {
          EXPECT_GT(field.cache->bytes_read(), 0) << bytes;
        }
        for (const auto& entry : fs::directory_iterator(folder.path())) {
          struct stat facts {};
          ASSERT_EQ(::stat(entry.path().c_str(), &facts), 0);
          EXPECT_LE(facts.st_size, bytes);
          EXPECT_LE(facts.st_blocks * 512, (bytes + 4095) / 4096 * 4096);
        }
      }
  }
}

TEST(UnitCache, of_a_folder_is_there_for_the_next_run_on_the_same_version_alone) {
  TemporaryFolder folder;
  EXPECT_EQ(CachedField(alone(), in_folder(folder.path()), units()).wrong(), 0);
  CachedField again(alone(), in_folder(folder.path()), units());
  EXPECT_EQ(again.wrong(), 0);
  EXPECT_EQ(again.units->reads, 0);
  // Files are made with the umask, and the only one is this version's.
  const ::mode_t mask = ::umask(0);
  ::umask(mask);
  struct stat facts {};
  const fs::path file = only_file(folder.path());
  ASSERT_EQ(::stat(file.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0666 & ~mask);
  // Another version has other rows; its file is another, and this one's under its name is not it.
  for (const bool renamed : {false, true}) {
    CachedField other(alone(), in_folder(folder.path()), units(false, 9), "two");
    EXPECT_EQ(other.wrong(9), 0);
    EXPECT_EQ(other.units->reads, kUnits);
    if (renamed) break;
    for (const auto& entry : fs::directory_iterator(folder.path()))
      if (entry.path() != file)
        fs::copy_file(file, entry.path(), fs::copy_options::overwrite_existing);
  }
  // As many entries of other sizes are another cache too.
  CachedField sizes(alone(), in_folder(folder.path()),
                    std::make_shared<const CountedUnits>(kRows, kUnitRows, kRowBytes - 1));
  EXPECT_EQ(sizes.wrong(), 0);
  EXPECT_EQ(sizes.units->reads, kUnits);
}

TEST(UnitCache, never_gives_what_was_damaged_and_writes_it_again) {
  TemporaryFolder folder;
  EXPECT_EQ(CachedField(alone(), in_folder(folder.path()), units()).wrong(), 0);
  const fs::path file = only_file(folder.path());
  const auto whole = file_bytes(file);
  std::mt19937 random(2);
  std::int64_t damaged = 0, read_again = 0;
  // In the header, in the words that say where entries lie, and in the entries.
  for (std::uint64_t at = 0; at < whole.size(); at += at < 100    ? 3
                                                      : at < 4096 ? 509
                                                      : at < 4096 + 8 * kUnits
                                                          ? 1
                                                          : 1000 + random() % 2000) {
    write_bytes(file, whole.data(), whole.size());
    flip_byte(file, at);
    CachedField field(alone(), in_folder(folder.path()), units());
    EXPECT_EQ(field.wrong(), 0) << at;
    EXPECT_EQ(field.wrong(), 0) << at;
    damaged += field.cache->damaged();
    read_again += field.units->reads;
    CachedField healed(alone(), in_folder(folder.path()), units());
    EXPECT_EQ(healed.wrong(), 0) << at;
    if (at >= 4096 + 8 * kUnits) {
      EXPECT_EQ(healed.units->reads, 0) << at;
    }
  }
  EXPECT_GT(damaged, 50);
  EXPECT_GT(read_again, damaged);
}

TEST(UnitCache, takes_a_file_that_was_cut_or_filled_with_anything) {
  TemporaryFolder folder;
  EXPECT_EQ(CachedField(alone(), in_folder(folder.path()), units()).wrong(), 0);
  const fs::path file = only_file(folder.path());
  const auto whole = file_bytes(file);
  for (const double part : {0.0, 0.001, 0.02, 0.3, 0.9, 0.9999}) {
    write_bytes(file, whole.data(),
                static_cast<std::size_t>(static_cast<double>(whole.size()) * part));
    EXPECT_EQ(CachedField(alone(), in_folder(folder.path()), units()).wrong(), 0) << part;
    CachedField again(alone(), in_folder(folder.path()), units());
    EXPECT_EQ(again.wrong(), 0) << part;
    EXPECT_EQ(again.units->reads, 0) << part;
  }
  // All words say that a record is there, and none is.
  std::vector<std::byte> empty = whole;
  std::fill(empty.begin() + 8192, empty.end(), std::byte{0});
  write_bytes(file, empty.data(), empty.size());
  CachedField field(alone(), in_folder(folder.path()), units());
  EXPECT_EQ(field.wrong(), 0);
  EXPECT_EQ(field.units->reads, kUnits);
  EXPECT_EQ(field.cache->damaged(), kUnits);
}

TEST(UnitCache, changes_its_size_when_nobody_else_uses_it) {
  TemporaryFolder folder;
  const auto reads_of = [&](std::int64_t bytes) {
    CachedField field(alone(), in_folder(folder.path(), bytes), units());
    EXPECT_EQ(field.wrong(), 0);
    EXPECT_EQ(field.wrong(), 0);
    const auto size = static_cast<std::int64_t>(fs::file_size(only_file(folder.path())));
    if (bytes > 0) {
      EXPECT_LE(size, bytes);
    }
    return field.units->reads.load();
  };
  EXPECT_EQ(reads_of(0), kUnits);
  EXPECT_GT(reads_of(100000), kUnits / 2);
  EXPECT_GT(reads_of(100000), kUnits / 2);
  const std::int64_t back = reads_of(400000);
  EXPECT_GT(back, 0);
  EXPECT_LT(back, kUnits);
  EXPECT_EQ(reads_of(0), 0);
  CachedField holds(alone(), in_folder(folder.path()), units());
  const auto size = fs::file_size(only_file(folder.path()));
  CachedField smaller(alone(), in_folder(folder.path(), 100000), units());
  EXPECT_EQ(fs::file_size(only_file(folder.path())), size);
  EXPECT_EQ(holds.wrong() + smaller.wrong(), 0);
}

std::string said_by(const std::function<void()>& body) {
  ::testing::internal::CaptureStderr();
  body();
  return ::testing::internal::GetCapturedStderr();
}

TEST(UnitCache, that_cannot_be_had_is_a_warning) {
  TemporaryFolder folder;
  write_text(folder / "file", "no folder");
  const fs::path name = folder / "x";
  const auto tries = [&](const CacheOptions& options) {
    return said_by([&] {
      CachedField field(alone(), options, units());
      EXPECT_EQ(field.wrong(), 0);
      EXPECT_EQ(field.wrong(), 0);
      EXPECT_EQ(field.units->reads, 2 * kUnits);
    });
  };
  EXPECT_TRUE(contains_all(tries(in_folder(folder / "file" / "sub")), {"warning", "not cached"}));
  EXPECT_TRUE(contains_all(tries(in_memory(100)), {"warning", "data.cache_bytes", "not cached"}));
  // A link where the file should be is not followed, and a file that has another name is left.
  EXPECT_EQ(CachedField(alone(), in_folder(folder / "c"), units()).wrong(), 0);
  const fs::path file = only_file(folder / "c");
  fs::rename(file, folder / "elsewhere");
  const auto before = file_bytes(folder / "elsewhere");
  fs::create_symlink(folder / "elsewhere", file);
  EXPECT_TRUE(contains_all(tries(in_folder(folder / "c")), {"warning", file.string()}));
  fs::remove(file);
  fs::create_hard_link(folder / "elsewhere", file);
  EXPECT_TRUE(contains_all(tries(in_folder(folder / "c")), {"warning", "not a file of this user"}));
  EXPECT_EQ(file_bytes(folder / "elsewhere"), before);
}

// Jobs do not know of each other: each has its own descriptors and locks, as processes have.
TEST(UnitCache, of_a_folder_is_filled_by_several_jobs_at_once) {
  for (const std::int64_t bytes : {0, 150000}) {
    TemporaryFolder folder;
    std::atomic<std::int64_t> wrong = 0;
    std::barrier ready(4);
    std::vector<std::thread> jobs;
    for (unsigned job = 0; job < 4; ++job)
      jobs.emplace_back([&, job] {
        const auto self = comm::make_self_communicator();
        CachedField field(*self, in_folder(folder.path(), bytes), units());
        ready.arrive_and_wait();
        wrong += field.wrong();
        std::mt19937 random(job);
        for (int i = 0; i < 200; ++i) {
          const std::int64_t first = random() % kRows;
          wrong += field.wrong(first, 1 + random() % std::min<std::int64_t>(90, kRows - first));
        }
      });
    for (auto& job : jobs) job.join();
    EXPECT_EQ(wrong, 0);
    if (bytes > 0) {
      EXPECT_LE(fs::file_size(only_file(folder.path())), static_cast<std::uintmax_t>(bytes));
      continue;
    }
    CachedField after(alone(), in_folder(folder.path()), units());
    EXPECT_EQ(after.wrong(), 0);
    EXPECT_EQ(after.units->reads, 0);
    EXPECT_EQ(after.cache->damaged(), 0);
  }
}

TEST(UnitCache, is_shared_by_threads) {
  TemporaryFolder folder;
  for (const auto& options : {in_memory(), in_memory(150000), in_folder(folder.path(), 0)}) {
    CachedField field(alone(), options, units(true));
    std::atomic<std::int64_t> wrong = 0;
    std::vector<std::thread> threads;
    for (unsigned thread = 0; thread < 4; ++thread)
      threads.emplace_back([&, thread] {
        std::mt19937 random(thread);
        for (int i = 0; i < 300; ++i) {
          const std::int64_t first = random() % kRows;
          wrong += field.wrong(first, 1 + random() % std::min<std::int64_t>(90, kRows - first));
        }
      });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(field.cache->damaged(), 0);
  }
}

// Killed between taking a place and saying whose it is: the place is not lost.
TEST(UnitCache, of_a_folder_gives_a_place_whose_taker_died_to_its_unit) {
  TemporaryFolder folder;
  EXPECT_EQ(CachedField(alone(), in_folder(folder.path()), units()).wrong(), 0);
  const fs::path file = only_file(folder.path());
  std::uint64_t last[3];  // the pool's end, the last place, its entry
  std::fstream raw(file, std::ios::in | std::ios::out | std::ios::binary);
  raw.seekg(512).read(reinterpret_cast<char*>(last), sizeof last);
  const std::uint64_t no_place = 0;
  raw.seekp(static_cast<std::streamoff>(4096 + last[2] * sizeof no_place));
  raw.write(reinterpret_cast<const char*>(&no_place), sizeof no_place);
  raw.close();
  CachedField field(alone(), in_folder(folder.path()), units());
  EXPECT_EQ(field.wrong(), 0);
  EXPECT_EQ(field.units->reads, 1);
  CachedField again(alone(), in_folder(folder.path()), units());
  EXPECT_EQ(again.wrong(), 0);
  EXPECT_EQ(again.units->reads, 0);
}

constexpr const char* kFillerFolder = "LOCKSTEP_TEST_CACHE";

std::shared_ptr<const CountedUnits> many_units() {
  return std::make_shared<const CountedUnits>(20000, 50, 1000);
}

// Not a test: what the next one starts and kills.
TEST(UnitCache, DISABLED_fills_a_folder_until_it_is_killed) {
  const char* const folder = std::getenv(kFillerFolder);
  ASSERT_NE(folder, nullptr);
  CachedField field(alone(), in_folder(folder), many_units());
  while (true) EXPECT_EQ(field.wrong(), 0);
}

pid_t start_filler(const fs::path& folder) {
  ::setenv(kFillerFolder, folder.c_str(), 1);
  std::string program = fs::read_symlink("/proc/self/exe"), all = "--gtest_also_run_disabled_tests",
              filter = "--gtest_filter=*fills_a_folder_until_it_is_killed";
  char* arguments[] = {program.data(), all.data(), filter.data(), nullptr};
  posix_spawn_file_actions_t silent;
  ::posix_spawn_file_actions_init(&silent);
  ::posix_spawn_file_actions_addopen(&silent, 1, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  EXPECT_EQ(::posix_spawn(&pid, program.c_str(), &silent, nullptr, arguments, environ), 0);
  ::posix_spawn_file_actions_destroy(&silent);
  return pid;
}

// How far the file's pool is used, as its header says.
std::uint64_t filled(const fs::path& folder) {
  std::uint64_t used = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    in.seekg(512);
    if (!in.read(reinterpret_cast<char*>(&used), sizeof used)) used = 0;
  }
  return used;
}

TEST(UnitCache, of_a_folder_outlives_a_run_that_is_killed_while_it_fills_it) {
  std::mt19937 random(3);
  for (int round = 0; round < 6; ++round) {
    TemporaryFolder folder;
    const pid_t pid = start_filler(folder.path());
    // Anywhere between its making and its last record.
    const std::uint64_t until = round == 0 ? 0 : 1 + random() % 15000000;
    for (int i = 0; i < 200000 && filled(folder.path()) < until; ++i) ::usleep(100);
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status));
    CachedField field(alone(), in_folder(folder.path()), many_units());
    EXPECT_EQ(field.wrong(), 0);
    if (until > 1000000) {
      EXPECT_LT(field.units->reads, 400);
    }
    CachedField again(alone(), in_folder(folder.path()), many_units());
    EXPECT_EQ(again.wrong(), 0);
    EXPECT_EQ(again.units->reads, 0);
  }
}

}  // namespace
}  // namespace lockstep::data
