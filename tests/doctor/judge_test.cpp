#include "doctor/judge.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace lockstep::doctor {
namespace {

// Four ranks on two nodes of four cores, each with a core of its own; all is well.
std::vector<RankFacts> healthy() {
  std::vector<RankFacts> ranks(4);
  for (int r = 0; r < 4; ++r) {
    RankFacts& f = ranks[static_cast<std::size_t>(r)];
    f.rank = r;
    f.node = r / 2;
    f.host.set(f.node == 0 ? "n1" : "n2");
    f.cpu.set("A processor");
    f.isa.set("avx2");
    f.build.set("mpi 4.1");
    f.cores[0] = std::uint64_t{1} << (r % 2);
    f.online = 4;
    f.flops = 1e11;
    f.clock = 1.7e9;
    f.shm_bytes = f.shm_free = std::uint64_t{1} << 33;
    f.memory = std::uint64_t{1} << 35;
    f.filters = 3;
    f.files.write = f.files.read = 1e9;
    f.files.free = std::uint64_t{1} << 40;
    f.gpus.devices = 2;
    f.gpus.names.set("2 x GPU");
  }
  return ranks;
}

std::string first_word(const Finding& f, const char* wanted) {
  return f.text.find(wanted) != std::string::npos || f.remedy.find(wanted) != std::string::npos
             ? ""
             : f.text + " / " + f.remedy;
}
void expect(const Finding& f, Verdict verdict, std::initializer_list<const char*> words) {
  EXPECT_EQ(static_cast<int>(f.verdict), static_cast<int>(verdict)) << f.text;
  for (const char* word : words) EXPECT_EQ(first_word(f, word), "") << word;
  EXPECT_EQ(f.remedy.empty(), verdict == Verdict::kPass) << f.remedy;
}

TEST(Doctor, passes_what_is_well) {
  const auto ranks = healthy();
  expect(judge_cores(ranks), Verdict::kPass, {"2 of 4 cores", "n1"});
  expect(judge_machines(ranks), Verdict::kPass, {"A processor", "avx2"});
  expect(judge_speed(ranks), Verdict::kPass, {"100.0 GFLOP/s"});
  expect(judge_clocks(ranks), Verdict::kPass, {});
  expect(judge_shared_memory(ranks), Verdict::kPass, {"8.00 GiB"});
  expect(judge_memory(ranks), Verdict::kPass, {"32.00 GiB"});
  expect(judge_files(ranks, "runs"), Verdict::kPass, {"runs"});
  expect(judge_filters(ranks, {"deflate", "zstd", "lz4"}, "1.10.8"), Verdict::kPass,
         {"reads deflate, zstd", "not lz4"});
  expect(judge_gpus(ranks, true), Verdict::kPass, {"2 x GPU"});
  EXPECT_TRUE(judge_data(ranks, "").topic.empty());
}

TEST(Doctor, names_ranks_that_share_a_core) {
  auto ranks = healthy();
  ranks[3].cores[0] = ranks[2].cores[0];
  expect(judge_cores(ranks), Verdict::kFail, {"ranks 2, 3", "core 0", "n2", "--cpu-bind=cores"});
}

TEST(Doctor, names_a_rank_with_more_threads_than_cores) {
  auto ranks = healthy();
  ranks[1].threads = 3;
  expect(judge_cores(ranks), Verdict::kFail, {"rank 1 with 3 threads", "n1"});
}

TEST(Doctor, only_warns_where_the_whole_machine_is_shared) {
  auto ranks = healthy();
  for (RankFacts& f : ranks) f.cores[0] = 1, f.online = 1;
  expect(judge_cores(ranks), Verdict::kWarn, {"ranks 0, 1", "mpi_yield_when_idle"});
}

TEST(Doctor, names_the_rank_whose_machine_differs) {
  auto ranks = healthy();
  ranks[2].isa.set("avx512");
  expect(judge_machines(ranks), Verdict::kFail, {"rank 2 on n2", "avx512", "run.isa"});
  ranks = healthy();
  ranks[3].build.set("mpi 5.0");
  expect(judge_machines(ranks), Verdict::kFail, {"rank 3 on n2", "mpi 5.0", "same installation"});
}

TEST(Doctor, names_slow_ranks_and_wrong_clocks) {
  auto ranks = healthy();
  ranks[1].flops = 5e10;
  expect(judge_speed(ranks), Verdict::kWarn, {"rank 1", "50.0", "adaptive"});
  ranks[2].clock += 90;
  expect(judge_clocks(ranks), Verdict::kWarn, {"rank 2 on n2", "ahead"});
}

TEST(Doctor, judges_the_network_by_its_figures) {
  const auto ranks = healthy();
  comm::PairLinks links{{2e-6, 1e10}, {3e-6, 9e9}, 0, 2};
  expect(judge_links(links, "network", true, ranks), Verdict::kPass, {"2.0 us"});
  links.worst.bandwidth = 1e9;
  expect(judge_links(links, "network", true, ranks), Verdict::kWarn,
         {"rank 0 on n1", "rank 2 on n2"});
  links.median.bandwidth = 1e8;
  expect(judge_links(links, "network", true, ranks), Verdict::kWarn, {"ucx"});
  expect(judge_links(links, "in a node", false, ranks), Verdict::kPass, {});
  links.median.latency = 12e-3;
  expect(judge_links(links, "in a node", false, ranks), Verdict::kWarn, {"mpi_yield_when_idle"});
  EXPECT_TRUE(judge_links({}, "network", true, ranks).topic.empty());
}

TEST(Doctor, judges_memory_that_ranks_share) {
  auto ranks = healthy();
  ranks[3].shm_free = ranks[3].shm_bytes = 64 << 20;
  expect(judge_shared_memory(ranks), Verdict::kWarn, {"64.00 MiB", "n2", "remount"});
  EXPECT_EQ(static_cast<int>(judge_shared_memory(Ranks(ranks).subspan(3)).verdict), 0)
      << "one rank shares with nobody";
}

TEST(Doctor, names_the_rank_that_cannot_write_or_see_the_folder) {
  auto ranks = healthy();
  ranks[1].files.sees_others = false;
  expect(judge_files(ranks, "runs"), Verdict::kFail, {"rank 1 on n1", "rank 0 on n1", "runs"});
  ranks = healthy();
  ranks[2].files.error = EROFS;
  ranks[2].files.write_failed = true;
  expect(judge_files(ranks, "runs"), Verdict::kFail, {"rank 2 on n2", "write", "Read-only"});
  ranks = healthy();
  for (RankFacts& f : ranks) f.files.write = 1e6;
  expect(judge_files(ranks, "runs"), Verdict::kWarn, {"scratch"});
  ranks[3].data_error = ENOENT;
  expect(judge_data(ranks, "digits.h5"), Verdict::kFail,
         {"rank 3 on n2", "digits.h5", "No such file"});
}

TEST(Doctor, wants_the_same_filters_and_devices_everywhere) {
  auto ranks = healthy();
  ranks[2].filters = 1;
  expect(judge_filters(ranks, {"deflate", "zstd"}, "1.10.8"), Verdict::kFail,
         {"rank 2", "HDF5_PLUGIN_PATH"});
  ranks[3].gpus.devices = 0;
  ranks[3].gpus.problem.set("no driver");
  expect(judge_gpus(ranks, true), Verdict::kFail, {"rank 3 on n2", "no driver"});
  expect(judge_gpus(ranks, false), Verdict::kPass, {"no driver"});
  ranks = healthy();
  ranks[1].gpus.pairs_without_peers = 1;
  expect(judge_gpus(ranks, true), Verdict::kWarn, {"1 pairs", "n1"});
}

TEST(Doctor, judges_how_ranks_were_started) {
  comm::Launch launch{"Open MPI v4.1.4", true, true, false};
  expect(judge_launch(launch, 4, 2, 8), Verdict::kPass, {"4 ranks on 2 nodes by srun"});
  expect(judge_launch(launch, 9, 2, 8), Verdict::kFail, {"train.lanes = 8", "at most 8"});
  expect(judge_slurm(launch, 2, ""), Verdict::kWarn, {"SLURM_PMIX_FENCE=ring"});
  expect(judge_slurm(launch, 2, "ring"), Verdict::kPass, {});
  EXPECT_TRUE(judge_slurm(launch, 1, "").topic.empty());
  launch.turns = false;
  expect(judge_launch(launch, 4, 2, 8), Verdict::kWarn, {"MPI_THREAD_SERIALIZED"});
  expect(judge_launch({}, 1, 1, 8), Verdict::kPass, {"without MPI"});
}

TEST(Findings, are_lines_with_remedies_and_a_sum) {
  const Findings findings{{Verdict::kPass, "a", "well", ""},
                          {Verdict::kFail, "files", "bad", "this"}};
  EXPECT_EQ(
      text_of(findings),
      "pass  a      well\nfail  files  bad\n             try: this\n1 passed, 0 warned, 1 failed");
  EXPECT_TRUE(any_failed(findings));
}

}  // namespace
}  // namespace lockstep::doctor
