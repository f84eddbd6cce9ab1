#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

#include "lockstep/core/files.h"
#include "train/scratch_folder.h"
#include "train/train_state.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class Pair : public testing::Test {
 protected:
  Comparison compare() {
    return compare_checkpoints(
        write_checkpoint(*self_, folder_.path() / "a", a_.state, text_a_, 1, false),
        write_checkpoint(*self_, folder_.path() / "b", b_.state, text_b_, 1, false));
  }
  std::unique_ptr<comm::Communicator> self_ = comm::make_communicator({});
  ScratchFolder folder_;
  TestState a_, b_;
  CheckpointText text_a_ = TestState::text(), text_b_ = TestState::text();
};

using Compare = Pair;

TEST_F(Compare, says_equal_and_shows_both_digests) {
  const Comparison c = compare();
  EXPECT_TRUE(c.equal);
  const std::string digest_text = digest(*self_, a_.state).text();
  EXPECT_THAT(c.text, HasSubstr("A  " + digest_text + "  step 50"));
  EXPECT_THAT(c.text, HasSubstr("B  " + digest_text + "  step 50"));
  EXPECT_THAT(c.text, HasSubstr("\nequal: "));
  EXPECT_THAT(c.text, Not(HasSubstr(" in A and ")));
}

TEST_F(Compare, names_the_first_tensor_block_and_element_that_differ) {
  const Parameter& p = b_.table[b_.table.find("p10007")];
  b_.data[1][p.offset + 8192] = 0.5f;
  b_.data[1][p.offset + 4097] = -0.0f;
  a_.data[1][p.offset + 4097] = 0.0f;
  b_.data[2][0] = 3;
  const Comparison c = compare();
  EXPECT_FALSE(c.equal);
  EXPECT_THAT(c.text,
              HasSubstr("first difference: optimizer/m/p10007, block 1 (elements 4096 to 8191): "
                        "element [4097] is 0 (0x00000000) in A and -0 (0x80000000) in B\n"));
  EXPECT_THAT(c.text,
              HasSubstr(fmt::format("3 of {} blocks differ", 3 * a_.table.blocks().size())));
}

TEST_F(Compare, finds_one_bit_in_any_block) {
  for (int tensor : {0, 2}) {
    for (int parameter = 0; parameter < a_.table.size(); ++parameter) {
      const Parameter& p = a_.table[parameter];
      const std::int64_t last = p.elements - 1;
      float& value = b_.data[tensor][p.offset + last];
      const float kept = value;
      value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ 1);
      const Comparison c = compare();
      EXPECT_FALSE(c.equal);
      EXPECT_THAT(c.text, HasSubstr(fmt::format("first difference: {}/{}, block {} (",
                                                a_.names[tensor], p.name, last / kBlock)));
      value = kept;
    }
  }
}

TEST_F(Compare, lists_what_differs_in_progress_run_and_environment) {
  b_.state.progress.reals["best"] = 0.25;
  b_.state.progress.integers["more"] = 1;
  text_b_.resolved_run = "[train]\nseed = 2\n[parallel]\nstrategy = \"sharded\"\n";
  text_b_.environment = R"({"isa":"avx512","cpu":"one","threads":2})";
  const Comparison c = compare();
  EXPECT_FALSE(c.equal);
  for (const char* line :
       {"progress: best is inf in A and 0.25 in B\n", "progress: more is absent in A and 1 in B\n",
        "run: train.seed is 1 in A and 2 in B\n",
        "run: parallel.strategy is absent in A and \"sharded\"",
        "environment: isa is avx2 in A and avx512 in B\n",
        "environment: threads is absent in A and 2 in B\n"}) {
    EXPECT_THAT(c.text, HasSubstr(line));
  }
  EXPECT_THAT(c.text, Not(HasSubstr("cpu")));
  EXPECT_THAT(c.text, Not(HasSubstr("first difference")));
}

TEST_F(Compare, names_only_algorithms_that_differ_and_where) {
  const std::string same(200, '0');
  std::string lines_a, lines_b;
  for (int i = 0; i < 8; ++i) {
    lines_a += fmt::format("gemm {} = 130100 {}77{}\\n", i, same, same);
    lines_b += fmt::format("gemm {} = 130100 {}7{}{}\\n", i, same, i == 1 ? "7" : "8", same);
  }
  text_a_.environment = "{\"algorithms\":\"" + lines_a + "attention = 1\\n\"}";
  text_b_.environment = "{\"algorithms\":\"" + lines_b + "\"}";
  const Comparison c = compare();
  EXPECT_TRUE(c.equal);
  EXPECT_THAT(c.text, HasSubstr("algorithm: gemm 0 is ...000000000000000770000"));
  EXPECT_THAT(c.text, HasSubstr("... in A and ...000000000000000780000"));
  EXPECT_THAT(c.text, HasSubstr("algorithm: attention is 1 in A and absent in B\n"));
  EXPECT_THAT(c.text, HasSubstr("algorithm: 3 more differ\n"));
  EXPECT_THAT(c.text, Not(HasSubstr("gemm 1")));
  EXPECT_LT(c.text.size(), 2000u);
}

TEST_F(Compare, is_equal_when_only_the_environment_differs) {
  text_b_.environment = "{}";
  const Comparison c = compare();
  EXPECT_TRUE(c.equal);
  EXPECT_THAT(c.text, HasSubstr("environment: isa is avx2 in A and absent in B"));
}

TEST_F(Compare, names_the_first_parameter_of_other_models) {
  b_.table = {};
  for (const Parameter& p : a_.table.parameters()) {
    b_.table.add(p.name == "p33" ? "q33" : p.name, p.shape, p.kind, p.init);
  }
  const Comparison c = compare();
  EXPECT_FALSE(c.equal);  // though the numbers, and so the digests, are the same
  EXPECT_THAT(c.text, HasSubstr("other models: parameter 5 is p33 33 in A and q33 33 in B"));
}

TEST_F(Compare, refuses_a_damaged_file) {
  compare();
  const fs::path file = *newest_checkpoint(folder_.path() / "b");
  std::string bytes = read_file(file);
  const Parameter& p = b_.table[b_.table.find("p4097")];
  const auto* values = reinterpret_cast<const char*>(&b_.data[0][p.offset]);
  bytes[bytes.find(std::string(values, 4 * 4097))] ^= 1;
  write_file_atomically(file, bytes);
  EXPECT_THAT(
      sentence_of(ExitCode::kData,
                  [&] { compare_checkpoints(*newest_checkpoint(folder_.path() / "a"), file); }),
      HasSubstr(file.string() + ": parameters/p4097, block 0 ("));
}

}  // namespace
}  // namespace lockstep::train
