#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockstep/core/files.h"
#include "train/checkpoint_folder.h"
#include "train/scratch_folder.h"
#include "train/train_state.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const fs::path& dir) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

std::string name(std::int64_t step) { return fmt::format("step-{:010}.h5", step); }

class Saver {
 public:
  fs::path save(std::int64_t step, int keep, bool best = false) {
    const TestState s(step);
    return write_checkpoint(*self_, dir(), s.state, TestState::text(), keep, best);
  }
  fs::path dir() const { return folder_.path() / "run"; }

 private:
  ScratchFolder folder_;
  std::unique_ptr<comm::Communicator> self_ = comm::make_communicator({});
};

TEST(Retention, keeps_the_newest_and_the_best) {
  Saver saver;
  saver.save(10, 2);
  saver.save(20, 2, true);
  for (std::int64_t step : {30, 40, 50}) saver.save(step, 2);
  EXPECT_EQ(names_in(saver.dir()),
            (std::vector<std::string>{"best", name(20), name(40), name(50)}));
  EXPECT_EQ(newest_checkpoint(saver.dir()), saver.dir() / name(50));
  EXPECT_EQ(best_checkpoint(saver.dir()), saver.dir() / name(20));
  saver.save(60, 2, true);
  EXPECT_EQ(names_in(saver.dir()), (std::vector<std::string>{"best", name(50), name(60)}));
  EXPECT_EQ(best_checkpoint(saver.dir()), saver.dir() / name(60));
}

TEST(Retention, never_removes_the_one_just_written) {
  Saver saver;
  for (std::int64_t step : {500, 600}) saver.save(step, 2);
  saver.save(7, 2);  // the folder holds an older run of more steps
  EXPECT_EQ(names_in(saver.dir()), (std::vector<std::string>{name(7), name(500), name(600)}));
  saver.save(8, 0);  // keep less than one is one
  EXPECT_EQ(names_in(saver.dir()), (std::vector<std::string>{name(8), name(600)}));
}

TEST(Retention, with_overwrite_leaves_only_the_first_save) {
  Saver saver;
  saver.save(500, 3, true);
  saver.save(600, 3);
  const fs::path first = saver.save(7, 3);
  remove_checkpoints_except(saver.dir(), first);
  EXPECT_EQ(names_in(saver.dir()), (std::vector<std::string>{name(7)}));
  remove_checkpoints_except(saver.dir(), saver.save(8, 3, true));
  EXPECT_EQ(names_in(saver.dir()), (std::vector<std::string>{"best", name(8)}));
}

TEST(Retention, removes_what_crashes_left_and_nothing_else) {
  Saver saver;
  saver.save(10, 3);
  for (const char* file :
       {"step-0000000009.h5.tmp", "best.tmp", "notes.tmp", "step-x.h5.tmp", "step-1.txt"}) {
    write_file_atomically(saver.dir() / file, "left");
  }
  EXPECT_EQ(newest_checkpoint(saver.dir()), saver.dir() / name(10));
  saver.save(11, 3);
  EXPECT_EQ(names_in(saver.dir()), (std::vector<std::string>{"notes.tmp", name(10), name(11),
                                                             "step-1.txt", "step-x.h5.tmp"}));
}

TEST(Folder, orders_by_number_and_ignores_other_names) {
  const ScratchFolder folder;
  EXPECT_FALSE(has_checkpoints(folder.path()));
  EXPECT_FALSE(has_checkpoints(folder.path() / "none"));
  EXPECT_EQ(newest_checkpoint(folder.path() / "none"), std::nullopt);
  EXPECT_EQ(best_checkpoint(folder.path() / "none"), std::nullopt);
  for (const char* file :
       {"step-.h5", "step-12x.h5", "step-0000000001.h5.tmp", "astep-0000000001.h5"}) {
    write_file_atomically(folder.path() / file, "");
  }
  EXPECT_FALSE(has_checkpoints(folder.path()));
  for (const char* file : {"step-9999999999.h5", "step-10000000000.h5", "step-0000000002.h5"}) {
    write_file_atomically(folder.path() / file, "");
  }
  EXPECT_EQ(list_checkpoints(folder.path()).front().file.filename(), "step-10000000000.h5");
  EXPECT_EQ(newest_checkpoint(folder.path()), std::nullopt) << "none of them is whole";
  write_file_atomically(folder.path() / "best", "step-0000000003.h5\n");  // its file is gone
  EXPECT_EQ(best_checkpoint(folder.path()), std::nullopt);
  write_file_atomically(folder.path() / "best", "step-0000000002.h5\n");
  EXPECT_EQ(best_checkpoint(folder.path())->filename(), "step-0000000002.h5");
}

}  // namespace
}  // namespace lockstep::train
