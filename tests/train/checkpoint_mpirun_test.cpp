#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockstep/core/files.h"
#include "train/run_program.h"
#include "train/scratch_folder.h"
#include "train/train_state.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

std::string in_shell(const fs::path& path) { return fmt::format("'{}'", path.string()); }

TEST(CheckpointAcrossRanks, is_the_same_file_and_is_read_by_any_number) {
  const ScratchFolder folder;
  const auto self = comm::make_communicator({});
  const TestState s(50);
  Hash128 expected;
  const std::string first = read_file(write_checkpoint(*self, folder.path() / "1", s.state,
                                                       TestState::text(), 3, false, &expected));
  for (int writers : {2, 3, 4}) {
    const fs::path dir = folder.path() / fmt::format("{}", writers);
    const char* const verb = writers == 3 ? "save-beside " : "save ";
    const Ran saved = run_ranks(writers, "train_checkpoint_tool", verb + in_shell(dir) + " 50");
    ASSERT_EQ(saved.code, 0) << saved.out;
    EXPECT_EQ(saved.out, expected.text()) << writers;
    const fs::path file = dir / "step-0000000050.h5";
    EXPECT_TRUE(read_file(file) == first) << writers << " ranks wrote other bytes than one";
    TestState read(-1);
    read_checkpoint(*self, file, read.state);
    EXPECT_EQ(read.data, s.data);
    const int readers = writers % 3 + 2;
    const Ran loaded = run_ranks(readers, "train_checkpoint_tool", "load " + in_shell(file));
    EXPECT_EQ(loaded.code, 0);
    EXPECT_EQ(loaded.out, expected.text()) << writers << " wrote, " << readers << " read";
  }
}

// The optimizer's blocks are dealt over three ranks; "optimizer/v" is the second rank's alone.
TEST(CheckpointAcrossRanks, tells_along_which_axis_a_tensor_was_cut) {
  const ScratchFolder folder;
  const Ran saved =
      run_ranks(3, "train_checkpoint_tool", "save-cut " + in_shell(folder.path()) + " 50");
  ASSERT_EQ(saved.code, 0) << saved.out;
  const fs::path file = folder.path() / "step-0000000050.h5";
  write_file_atomically(folder.path() / "layout.py", R"(
import h5py, json, sys
layout = json.loads(h5py.File(sys.argv[1], "r")["layout"][()])
print(json.dumps([layout["mesh"], layout["cut"]], sort_keys=True), end="")
)");
  const fs::path out = folder.path() / "out";
  ASSERT_EQ(
      std::system(fmt::format("/usr/bin/python3 {} {} > {} 2>&1",
                              in_shell(folder.path() / "layout.py"), in_shell(file), in_shell(out))
                      .c_str()),
      0)
      << read_file(out);
  EXPECT_EQ(read_file(out), R"([[{"axis": "data", "size": 3}], {"optimizer/m": "data"}])");
  EXPECT_THAT(checkpoint_inspect_text(file),
              HasSubstr("cut        optimizer/m along data (data 3)"));
  // What was cut is read by any number of ranks, and is the state that was saved whole.
  for (int readers : {1, 2, 4}) {
    const Ran loaded = run_ranks(readers, "train_checkpoint_tool", "load " + in_shell(file));
    EXPECT_EQ(loaded.out, saved.out) << readers;
  }
}

TEST(CheckpointAcrossRanks, with_a_disk_full_for_one_rank_is_refused_by_all) {
  const ScratchFolder folder;
  const std::string dir = in_shell(folder.path());
  ASSERT_EQ(run_ranks(3, "train_checkpoint_tool", "save " + dir + " 50").code, 0);
  const std::string before = read_file(folder.path() / "step-0000000050.h5");
  for (int limited : {0, 2}) {
    const Ran ran = run_ranks(
        3, "train_checkpoint_tool",
        (limited == 0 ? "save " : "save-beside ") + dir + " 51 " + std::to_string(limited));
    EXPECT_THAT(ran.out, testing::StartsWith("exit 2: "));
    EXPECT_THAT(ran.out,
                AllOf(HasSubstr("cannot save step-0000000051"), HasSubstr(folder.path().string()),
                      HasSubstr("File too large"), HasSubstr("checkpoint.dir")));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1) << limited;
  }
  EXPECT_TRUE(read_file(folder.path() / "step-0000000050.h5") == before);
}

TEST(CheckpointAcrossRanks, that_is_damaged_is_named_by_all_ranks_alike) {
  const ScratchFolder folder;
  const TestState s(50);
  const fs::path file = write_checkpoint(*comm::make_communicator({}), folder.path(), s.state,
                                         TestState::text(), 1, false);
  std::string bytes = read_file(file);
  const Parameter& p = s.table[s.table.find("p10007")];
  const std::size_t at =
      bytes.find(std::string(reinterpret_cast<const char*>(&s.data[2][p.offset]), 4 * p.elements));
  ASSERT_NE(at, std::string::npos);
  bytes[at + 4 * 5000] ^= 1;
  write_file_atomically(file, bytes);
  const Ran ran = run_ranks(3, "train_checkpoint_tool", "load " + in_shell(file));
  EXPECT_THAT(ran.out, testing::StartsWith("exit 3: "));
  EXPECT_THAT(ran.out, AllOf(HasSubstr(file.string()), HasSubstr("optimizer/v/p10007, block 1 (")));
}

}  // namespace
}  // namespace lockstep::train
