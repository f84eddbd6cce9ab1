#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "lockstep/core/isa.h"
#include "lockstep/train/environment.h"
#include "lockstep/train/tables.h"
#include "train/scratch_folder.h"
#include "train/train_state.h"

namespace lockstep::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;

comm::Communicator& world() {
  static const std::unique_ptr<comm::Communicator> c = comm::make_communicator({});
  return *c;
}

const EnvironmentInputs kInputs{2, "cpu", "bf16", {{"onednn", "2.6.3"}, {"mpi", "Open MPI 4.1.4"}}};

TEST(Environment, has_every_part_of_the_tuple) {
  const auto json = nlohmann::json::parse(environment_json(local_environment(kInputs)));
  for (const char* key : {"build", "cpu", "isa", "cache_l1d", "cache_l2", "cache_l3", "hdf5",
                          "onednn", "mpi", "threads", "device", "precision"}) {
    EXPECT_FALSE(json.value(key, "").empty()) << key;
  }
  EXPECT_GE(json["build"].get<std::string>().size(), 32u);
  EXPECT_EQ(json["isa"], name_of(isa()));
  EXPECT_EQ(json["threads"], "2");
}

TEST(Environment, that_is_the_same_on_all_ranks_passes) {
  EXPECT_EQ(check_same_environment(world(), local_environment(kInputs), false), "");
}

TEST(Environment, that_differs_on_one_rank_is_refused_by_all_with_the_same_sentence) {
  if (world().size() == 1) return;  // one rank cannot differ
  for (const char* key : {"isa", "cpu", "hdf5", "threads"}) {
    Environment environment = local_environment(kInputs);
    for (auto& [name, value] : environment.entries) {
      if (name == key && world().rank() == world().size() - 1) value = "another";
      if (name == key && world().rank() != world().size() - 1) value = "one";
    }
    const std::string sentence =
        sentence_of(ExitCode::kUser, [&] { check_same_environment(world(), environment, false); });
    EXPECT_THAT(sentence, AllOf(HasSubstr(fmt::format("rank {} on ", world().size() - 1)),
                                HasSubstr(fmt::format("has {} = another, rank 0 on ", key)),
                                HasSubstr("has one: ")));
    EXPECT_THAT(sentence, HasSubstr(std::string(key) == "isa"       ? "run.isa"
                                    : std::string(key) == "threads" ? "same run file"
                                                                    : "run.mixed = true"));
    EXPECT_EQ(check_same_environment(world(), environment, true), sentence);
  }
}

TEST(Digest, is_the_same_on_any_number_of_ranks) {
  const TestState s;
  const Hash128 d = digest(world(), s.state);
  EXPECT_EQ(d.text(), "49312f893b455cbb3566199ea4010ae2");
  const std::vector<std::byte> all = world().gather_all(std::as_bytes(std::span(&d, 1)));
  for (int p = 0; p < world().size(); ++p) {
    EXPECT_TRUE(std::equal(all.begin(), all.begin() + sizeof(d), all.begin() + p * sizeof(d)));
  }
}

TEST(Checkpoint, with_a_bad_value_in_any_ranks_share_is_refused_by_all) {
  TestState s;
  for (std::int64_t at : {std::int64_t{0}, s.table[s.table.find("scalar")].offset}) {
    for (auto& values : s.data) {
      const float kept = values[at];
      values[at] = NAN;
      EXPECT_THAT(sentence_of(ExitCode::kData,
                              [&] {
                                write_checkpoint(world(), "/nonexistent/never", s.state,
                                                 TestState::text(), 1, false);
                              }),
                  HasSubstr("is not saved because "));
      values[at] = kept;
    }
  }
}

TEST(RankTimes, are_gathered_by_position) {
  RankTimes mine;
  mine.compute = world().topology().position + 1;
  const std::vector<RankTimes> ranks = gather_times(world(), mine);
  ASSERT_EQ(static_cast<int>(ranks.size()), world().size());
  for (int p = 0; p < world().size(); ++p) EXPECT_EQ(ranks[p].compute, p + 1);
  EXPECT_EQ(node_total(world(), 10), 10u * world().topology().local_ranks());
}

}  // namespace
}  // namespace lockstep::train
