#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "lockstep/core/files.h"
#include "train/run_program.h"
#include "train/scratch_folder.h"
#include "train/train_state.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class Restore : public testing::Test {
 protected:
  fs::path save(std::int64_t step, int keep = 9) {
    const TestState s(step);
    return write_checkpoint(*self_, dir(), s.state, TestState::text(), keep, false);
  }
  fs::path dir() const { return folder_.path(); }
  static void truncate(const fs::path& file) { fs::resize_file(file, fs::file_size(file) / 2); }
  static void write_bytes(const fs::path& file, const std::string& bytes) {
    std::ofstream(file, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  // A bit of a parameter's numbers, which no seal covers.
  static void flip_number(const fs::path& file, std::int64_t step) {
    const TestState s(step);
    std::string bytes = read_file(file);
    const Parameter& p = s.table[s.table.find("p4097")];
    const std::size_t at = bytes.find(
        std::string(reinterpret_cast<const char*>(&s.data[1][p.offset]), 4 * p.elements));
    ASSERT_NE(at, std::string::npos);
    bytes[at + 4000] ^= 2;
    write_bytes(file, bytes);
  }
  static void flip_structure(const fs::path& file) {
    std::string bytes = read_file(file);
    bytes[100] ^= 4;
    write_bytes(file, bytes);
  }
  Restored restore(TestState& s) { return read_newest_checkpoint(*self_, dir(), s.state); }

  const std::unique_ptr<comm::Communicator> self_ = comm::make_communicator({});
  const ScratchFolder folder_;
};

TEST_F(Restore, takes_the_newest_that_is_sound) {
  for (std::int64_t step : {10, 20, 30, 40}) save(step);
  TestState s(-1);
  Restored restored = restore(s);
  EXPECT_EQ(restored.file, dir() / "step-0000000040.h5");
  EXPECT_TRUE(restored.damaged.empty());

  truncate(dir() / "step-0000000040.h5");
  flip_structure(dir() / "step-0000000030.h5");
  EXPECT_EQ(newest_checkpoint(dir()), dir() / "step-0000000020.h5");
  flip_number(dir() / "step-0000000020.h5", 20);
  EXPECT_EQ(newest_checkpoint(dir()), dir() / "step-0000000020.h5") << "numbers are not read";
  restored = restore(s);
  EXPECT_EQ(restored.file, dir() / "step-0000000010.h5");
  EXPECT_EQ(restored.damaged.size(), 3u);
  EXPECT_EQ(s.data, TestState(10).data);
  EXPECT_EQ(s.state.progress.integers.at("step"), 10);
}

TEST_F(Restore, goes_back_no_further_than_it_is_told_and_not_to_later_ones) {
  for (std::int64_t step : {10, 20, 30}) save(step);
  TestState s(-1);
  EXPECT_EQ(read_newest_checkpoint(*self_, dir(), s.state, 29).file, dir() / "step-0000000020.h5");
  EXPECT_TRUE(read_newest_checkpoint(*self_, dir(), s.state, 9).file.empty());
}

TEST_F(Restore, where_all_are_damaged_is_an_error_and_where_there_are_none_is_not) {
  TestState s(-1);
  EXPECT_TRUE(restore(s).file.empty());
  for (std::int64_t step : {10, 20}) truncate(save(step));
  EXPECT_EQ(newest_checkpoint(dir()), std::nullopt);
  EXPECT_TRUE(has_checkpoints(dir()));
  EXPECT_THAT(sentence_of(ExitCode::kData, [&] { restore(s); }),
              AllOf(HasSubstr("none of the 2 checkpoints in " + dir().string()),
                    HasSubstr("step-0000000020.h5")));
}

TEST_F(Restore, of_another_model_is_refused_and_not_passed_over) {
  save(10);
  const TestState wider(20, 2);
  write_checkpoint(*self_, dir(), wider.state, TestState::text(), 9, false);
  TestState s(-1);
  EXPECT_THAT(sentence_of(ExitCode::kUser, [&] { restore(s); }),
              HasSubstr("step-0000000020.h5 is of another model"));
}

TEST_F(Restore, says_the_same_on_all_ranks) {
  for (std::int64_t step : {10, 20}) save(step);
  flip_number(dir() / "step-0000000020.h5", 20);
  const std::string folder = fmt::format("'{}'", dir().string());
  const Ran ran = run_ranks(3, "train_checkpoint_tool", "restore " + folder);
  const TestState ten(10);
  EXPECT_THAT(ran.out, HasSubstr(digest(*self_, ten.state).text())) << ran.out;
  flip_number(dir() / "step-0000000010.h5", 10);
  EXPECT_THAT(run_ranks(2, "train_checkpoint_tool", "restore " + folder).out,
              HasSubstr("exit 3: none of the 2 checkpoints"));
}

TEST_F(Restore, retention_counts_whole_checkpoints_only) {
  for (std::int64_t step : {10, 20, 30, 40}) save(step);
  truncate(dir() / "step-0000000040.h5");
  truncate(dir() / "step-0000000030.h5");
  save(35, 2);  // 20 is the second that is whole
  for (std::int64_t step : {20, 30, 35, 40})
    EXPECT_TRUE(fs::exists(dir() / fmt::format("step-{:010}.h5", step))) << step;
  EXPECT_FALSE(fs::exists(dir() / "step-0000000010.h5"));
  save(50, 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir()), {}), 1);
}

}  // namespace
}  // namespace lockstep::train
