#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "lockstep/core/files.h"
#include "train/run_program.h"
#include "train/scratch_folder.h"
#include "train/train_state.h"

extern char** environ;

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

std::size_t entries(const fs::path& dir) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(dir), {}));
}

void save_until_killed(const fs::path& dir, int milliseconds) {
  std::string program = program_path("train_save_forever"), argument = dir.string();
  char* argv[] = {program.data(), argument.data(), nullptr};
  pid_t child = 0;
  ASSERT_EQ(posix_spawn(&child, program.c_str(), nullptr, nullptr, argv, environ), 0);
  for (int i = 0; i < 10000 && !newest_checkpoint(dir); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  ASSERT_EQ(waitpid(child, nullptr, WNOHANG), 0) << "the program ended by itself";
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST(Crash, during_a_save_leaves_the_last_checkpoint_whole) {
  const auto self = comm::make_communicator({});
  const ScratchFolder folder;
  int torn = 0;
  for (int i = 0; i < 12; ++i) {
    save_until_killed(folder.path(), 97 + 13 * i);
    const auto newest = newest_checkpoint(folder.path());
    ASSERT_TRUE(newest) << "no checkpoint was written in time";
    TestState read(-1, 8);
    read_checkpoint(*self, *newest, read.state);
    const TestState expected(read.state.progress.integers.at("step"), 8);
    EXPECT_EQ(read.data, expected.data);
    if (const auto best = best_checkpoint(folder.path())) check_checkpoint(*best);
    for (const auto& entry : fs::directory_iterator(folder.path())) {
      torn += entry.path().extension() == ".tmp";
    }
  }
  EXPECT_GT(torn, 0) << "no kill came during a save";
  const TestState last(1000000, 8);
  write_checkpoint(*self, folder.path(), last.state, TestState::text(), 1, true);
  EXPECT_EQ(entries(folder.path()), 2u);  // it, and the mark of the best
}

// A folder on a file system of 2 MiB, where this process may mount one (root).
class SmallDisk {
 public:
  explicit SmallDisk(const fs::path& at) : at_(at) {
    fs::create_directories(at);
    mounted_ = ::mount("tmpfs", at.c_str(), "tmpfs", 0, "size=2m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount(at_.c_str());
  }
  bool mounted() const { return mounted_; }

 private:
  fs::path at_;
  bool mounted_;
};

// Where nothing can be mounted a limit on the size of files stands for the full disk.
class SmallFiles {
 public:
  SmallFiles() {
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit small{600 << 10, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallFiles() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int) = nullptr;
};

TEST(FullDisk, is_one_sentence_and_leaves_the_old_checkpoints) {
  const auto self = comm::make_communicator({});
  const ScratchFolder folder;
  const fs::path dir = folder.path() / "disk";
  const SmallDisk disk(dir);
  std::optional<SmallFiles> limit;
  if (!disk.mounted()) limit.emplace();
  const TestState small(50), large(51, 8);
  const fs::path first = write_checkpoint(*self, dir, small.state, TestState::text(), 3, true);
  const auto save_large = [&] {
    write_checkpoint(*self, dir, large.state, TestState::text(), 3, true);
  };
  for (int i = 0; i < 2; ++i) {
    const std::string sentence = sentence_of(ExitCode::kUser, save_large);
    EXPECT_THAT(sentence,
                AllOf(HasSubstr("cannot save step-0000000051.h5 in " + dir.string()),
                      HasSubstr("it needs 2."), HasSubstr(" MiB and "), HasSubstr("are free"),
                      HasSubstr("earlier checkpoints are intact")));
    EXPECT_EQ(entries(dir), 2u);
    check_checkpoint(first);
    EXPECT_EQ(best_checkpoint(dir), first);
  }
  // Small ones still fit: the same process saves, until on a real file system they do not either.
  std::int64_t step = 52;
  const auto save_small = [&] {
    for (; step < (disk.mounted() ? 100 : 55); ++step) {
      const TestState s(step);
      write_checkpoint(*self, dir, s.state, TestState::text(), 100, false);
    }
  };
  EXPECT_THAT(sentence_of(ExitCode::kUser, save_small),
              HasSubstr(disk.mounted() ? "are free" : "nothing was thrown"));
  EXPECT_GT(step, 54);
  EXPECT_EQ(entries(dir), static_cast<std::size_t>(step - 52 + 2));
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() == ".h5") check_checkpoint(entry.path());
  }
}

TEST(Folder, that_cannot_be_made_or_written_is_the_users_mistake) {
  const auto self = comm::make_communicator({});
  const ScratchFolder folder;
  write_file_atomically(folder.path() / "file", "");
  const TestState s;
  EXPECT_THAT(sentence_of(ExitCode::kUser,
                          [&] {
                            write_checkpoint(*self, folder.path() / "file" / "dir", s.state,
                                             TestState::text(), 3, false);
                          }),
              AllOf(HasSubstr("cannot make the folder"), HasSubstr("checkpoint.dir")));
}

}  // namespace
}  // namespace lockstep::train
