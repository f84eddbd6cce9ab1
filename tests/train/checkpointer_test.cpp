#include "train/checkpointer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "lockstep/core/fault.h"
#include "lockstep/core/files.h"
#include "train/scratch_folder.h"
#include "train/train_state.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class CheckpointerTest : public testing::Test {
 protected:
  fs::path dir() const { return folder_.path() / "run"; }
  // The same state saved while nothing else happens.
  std::string waited_for(const TestState& s) {
    return read_file(
        write_checkpoint(*self_, folder_.path() / "waited", s.state, TestState::text(), 9, false));
  }
  Checkpointer beside(const TestState& s) {
    return Checkpointer(*self_, {dir(), 3, true}, s.state);
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(dir()), {}));
  }
  // The number of times that a stretch ended before it was whole.
  static FinishedSave advance_until_finished(Checkpointer& saver) {
    for (;;) {
      if (auto saved = saver.advance()) return *saved;
    }
  }

  const std::unique_ptr<comm::Communicator> self_ = comm::make_communicator({});
  const ScratchFolder folder_;
};

TEST_F(CheckpointerTest, saves_the_step_at_which_it_began_whatever_happens_to_the_state) {
  TestState s(50);
  const std::string expected = waited_for(s);
  const Hash128 digest_then = digest(*self_, s.state);
  Checkpointer saver = beside(s);

  saver.begin(s.state, TestState::text(), {});
  for (auto& values : s.data) std::fill(values.begin(), values.end(), NAN);
  s.state.progress.integers["step"] = 51;
  const FinishedSave saved = advance_until_finished(saver);

  EXPECT_TRUE(read_file(saved.file) == expected);
  EXPECT_EQ(saved.digest, digest_then);
  EXPECT_EQ(saved.step, 50);
  EXPECT_EQ(saved.file.filename(), "step-0000000050.h5");
  EXPECT_FALSE(saver.under_way());
  EXPECT_EQ(saver.advance(), std::nullopt);
  EXPECT_EQ(saver.finish(), std::nullopt);
}

TEST_F(CheckpointerTest, holds_the_share_once_and_nothing_where_it_need_not) {
  TestState s(50);
  std::int64_t elements = 0;
  for (const Parameter& p : s.table.parameters()) elements += p.elements;
  EXPECT_EQ(beside(s).bytes(), static_cast<std::uint64_t>(3 * 4 * elements));
  EXPECT_EQ(Checkpointer(*self_, {dir(), 3, false}, s.state).bytes(), 0u);
  // A device's numbers have been copied to the host already.
  s.state.tensors[1].copied = s.state.tensors[2].copied = true;
  Checkpointer saver = beside(s);
  EXPECT_EQ(saver.bytes(), static_cast<std::uint64_t>(4 * elements));
  const std::string expected = waited_for(s);
  saver.begin(s.state, TestState::text(), {});
  std::fill(s.data[0].begin(), s.data[0].end(), 7.0f);
  EXPECT_TRUE(read_file(saver.finish()->file) == expected);
}

TEST_F(CheckpointerTest, saves_one_after_another) {
  TestState s(1);
  Checkpointer saver = beside(s);
  for (std::int64_t step : {10, 20, 30, 40}) {
    const TestState next(step);
    saver.begin(next.state, TestState::text(), {.best = step == 10});
    EXPECT_TRUE(read_file(saver.finish()->file) == waited_for(next)) << step;
  }
  EXPECT_EQ(entries(), 5u);  // three, the best and its mark
  const TestState first(7);
  saver.begin(first.state, TestState::text(), {.alone = true});
  saver.finish();
  EXPECT_EQ(entries(), 1u);
}

TEST_F(CheckpointerTest, that_meets_a_bad_number_says_so_once_and_can_go_on) {
  TestState s(50);
  Checkpointer saver = beside(s);
  saver.begin(s.state, TestState::text(), {});
  saver.finish();
  const Parameter& p = s.table[s.table.find("p10007")];
  s.state.progress.integers["step"] = 51;
  s.data[2][p.offset + 9000] = -INFINITY;
  saver.begin(s.state, TestState::text(), {});
  EXPECT_THAT(sentence_of(ExitCode::kData, [&] { advance_until_finished(saver); }),
              HasSubstr("optimizer/v/p10007 [9000] is -inf"));
  EXPECT_FALSE(saver.under_way());
  EXPECT_EQ(entries(), 1u);
  s.data[2][p.offset + 9000] = 0;
  saver.begin(s.state, TestState::text(), {});
  EXPECT_EQ(saver.finish()->step, 51);
}

// Exponents of all ones in any lane of a vector, and nothing else, are not finite.
TEST_F(CheckpointerTest, finds_a_bad_number_wherever_it_is) {
  TestState s(50);
  Checkpointer saver = beside(s);
  const Parameter& p = s.table[s.table.find("p1023")];
  s.data[0][p.offset] = 3.4028235e38f;
  s.data[0][p.offset + 1] = -1e-45f;
  saver.begin(s.state, TestState::text(), {});
  EXPECT_TRUE(saver.finish());
  for (std::int64_t at : {0, 1, 31, 512, 1021, 1022}) {
    for (float bad : {NAN, -NAN, INFINITY}) {
      const float kept = std::exchange(s.data[1][p.offset + at], bad);
      saver.begin(s.state, TestState::text(), {});
      EXPECT_THAT(sentence_of(ExitCode::kData, [&] { saver.finish(); }),
                  HasSubstr(fmt::format("optimizer/m/p1023 [{}] is ", at)));
      s.data[1][p.offset + at] = kept;
    }
  }
}

TEST_F(CheckpointerTest, that_is_given_up_leaves_no_file) {
  const TestState s(50);
  write_checkpoint(*self_, dir(), s.state, TestState::text(), 3, false);
  const TestState next(51);
  for (int advances : {0, 1, 2, 3, 100}) {
    Checkpointer saver = beside(next);
    saver.begin(next.state, TestState::text(), {});
    for (int i = 0; i < advances && !saver.advance(); ++i) {
    }
  }
  EXPECT_EQ(newest_checkpoint(dir())->filename().string().substr(0, 13), "step-00000000");
  for (const auto& entry : fs::directory_iterator(dir()))
    EXPECT_EQ(entry.path().extension(), ".h5") << entry.path();
}

TEST_F(CheckpointerTest, whose_folder_goes_while_it_writes_is_one_sentence) {
  const TestState s(50);
  Checkpointer saver = beside(s);
  saver.begin(s.state, TestState::text(), {});
  fs::remove_all(dir());
  write_file_atomically(dir(), "a file now");
  EXPECT_THAT(sentence_of(ExitCode::kUser, [&] { advance_until_finished(saver); }),
              HasSubstr(dir().string()));
  EXPECT_FALSE(saver.under_way());
}

}  // namespace
}  // namespace lockstep::train
