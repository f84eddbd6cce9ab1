#include "lockstep/train/tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep::train {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

TEST(Settings, are_aligned_and_continue_under_their_value) {
  EXPECT_EQ(settings_text({{"data", "a.h5"}, {"optimizer", "adamw\nlr 0.001"}, {"x", ""}}),
            "  data       a.h5\n"
            "  optimizer  adamw\n"
            "             lr 0.001\n"
            "  x          -\n");
}

TEST(Ledger, adds_up_per_rank_and_per_node) {
  const std::vector<LedgerRow> rows{{"parameters", 1 << 20, "0.26 M fp32"},
                                    {"gradients", 512 << 10, ""}};
  EXPECT_EQ(total_bytes(rows), 1572864u);
  EXPECT_EQ(ledger_text(rows, 3 << 20, 2),
            "  parameters          1.00 MiB  0.26 M fp32\n"
            "  gradients         512.00 KiB\n"
            "  total per rank      1.50 MiB\n"
            "  total per node      3.00 MiB  2 ranks\n");
}

TEST(Ledger, keeps_a_devices_memory_and_the_hosts_apart) {
  const std::vector<LedgerRow> rows{{"parameters", 3 << 20, "", true}, {"windows", 1 << 20, ""}};
  EXPECT_EQ(total_bytes(rows), 1048576u);
  EXPECT_EQ(total_bytes(rows, true), 3145728u);
  EXPECT_EQ(ledger_text(rows, 1 << 20, 1),
            "  parameters            3.00 MiB\n"
            "  windows               1.00 MiB\n"
            "  total on the GPU      3.00 MiB  without CUDA's own; host memory is counted apart\n"
            "  total per rank        1.00 MiB\n"
            "  total per node        1.00 MiB  1 rank\n");
}

TEST(Summary, shows_min_mean_max_and_rates) {
  RankTimes a{.total = 10, .compute = 8, .data = 1, .exposed = 0.5, .hidden = 0.25, .fold = 0.5};
  RankTimes b{.total = 10, .compute = 6, .data = 3, .exposed = 0.5, .hidden = 0.25, .fold = 0.5};
  a.samples = 1500, b.samples = 500;
  a.flops = 1.5e11, b.flops = 0.5e11;
  a.fma_peak = b.fma_peak = 50e9;
  const std::vector<RankTimes> ranks{a, b};
  const std::string text = summary_text(ranks);
  EXPECT_THAT(text, ContainsRegex("compute +6.0 s +7.0 s +8.0 s +70.0 %\n"));
  EXPECT_THAT(text, ContainsRegex("waiting for data +1.0 s +2.0 s +3.0 s +20.0 %\n"));
  EXPECT_THAT(text, ContainsRegex("communication hidden +250.0 ms +250.0 ms +250.0 ms\n"));
  EXPECT_THAT(
      text,
      HasSubstr("200 samples/s, 20.0 GFLOP/s, 20.0 % of the measured FMA peak (100.0 GFLOP/s)"));
}

TEST(Summary, of_text_has_tokens_too) {
  RankTimes a{.total = 10};
  a.samples = 15;
  EXPECT_THAT(summary_text(std::span(&a, 1), 256), HasSubstr("  1.50 samples/s, 384 tokens/s, "));
  EXPECT_THAT(summary_text(std::span(&a, 1)), Not(HasSubstr("tokens")));
}

TEST(Summary, of_a_run_without_steps_has_no_rates) {
  const RankTimes none;
  const std::string text = summary_text(std::span(&none, 1));
  EXPECT_THAT(text, Not(HasSubstr("nan")));
  EXPECT_THAT(text, Not(HasSubstr("samples/s")));
}

TEST(Memory, of_this_process_is_found) {
  RankTimes times;
  fill_memory(times);
  EXPECT_GT(times.peak_memory, 1u << 20);
  EXPECT_GT(times.shared_memory, 100u << 10);
  EXPECT_LE(times.shared_memory, times.peak_memory);
}

}  // namespace
}  // namespace lockstep::train
