// run.json, plan.json and profile.jsonl: what is written is read again, and what is damaged is
// refused by name.
#include "lockstep/train/run_record.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "train/scratch_folder.h"

namespace lockstep::train {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

RunRecord some_record() {
  RunRecord r;
  r.name = "a \"run\" <script>";
  r.version = "0.1.0 (abc)";
  r.started = "2026-11-22T23:56:26Z";
  r.resolved_toml = "[train]\nbatch = 128\n";
  r.settings = {{"data", "x.h5"}, {"data", "again"}};
  r.environment = {{"cpu", "Zen"}};
  r.hosts = {"n1", "n2"};
  r.ranks = 2;
  r.nodes = 2;
  r.batch = 128;
  r.steps = 1684;
  r.parameters = 1e9;
  r.ledger = {{"parameters", 4096, "1.02 k fp32", true}, {"data windows", 5, "", false}};
  r.peak_memory = {1000000007, 2};
  r.digest = "00ff";
  r.digest_step = 1600;
  r.planned = PlannedRecord{"this", {{"compute", 1e-3}}, 1.5e-3, 1000, 60, 1e6, 2e6};
  return r;
}

TEST(RunRecord, reads_what_it_wrote) {
  const ScratchFolder folder;
  const auto file = folder.path() / kRunRecord;
  write_file_atomically(file, run_record_json(some_record()));
  const RunRecord r = read_run_record(file);
  EXPECT_EQ(run_record_json(r), run_record_json(some_record()));
  EXPECT_EQ(r.name, "a \"run\" <script>");
  EXPECT_EQ(r.settings.size(), 2U);
  EXPECT_TRUE(r.ledger[0].on_device);
  EXPECT_FALSE(r.ledger[1].on_device);
  EXPECT_THAT(r.peak_memory, ElementsAre(1000000007U, 2U));
  ASSERT_TRUE(r.planned);
  EXPECT_EQ(r.planned->step.at("compute"), 1e-3);
}

TEST(RunRecord, holds_names_that_are_no_utf8) {
  RunRecord r = some_record();
  r.name = "run\xff";
  EXPECT_NO_THROW(nlohmann::json::parse(run_record_json(r)));
}

TEST(RunRecord, says_which_file_is_damaged) {
  const ScratchFolder folder;
  const auto file = folder.path() / kRunRecord;
  EXPECT_THROW(read_run_record(file), UserError);
  for (const char* text : {"", "{\"name\":\"x\",", "{}", "[]", "{\"name\":1,\"ranks\":1}"}) {
    write_file_atomically(file, text);
    try {
      read_run_record(file);
      FAIL() << text;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr("run.json is no record of a run"));
    }
  }
}

TEST(RunRecord, a_plan_is_a_file_of_its_own) {
  const ScratchFolder folder;
  const auto file = folder.path() / kPlanRecord;
  write_file_atomically(file, planned_record_json(*some_record().planned));
  EXPECT_EQ(read_planned_record(file).step_seconds, 1.5e-3);
  EXPECT_EQ(read_planned_record(file).machine, "this");
}

TEST(RunRecord, tells_the_time_in_utc) {
  EXPECT_EQ(utc_text(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(utc_text(951827696.7), "2000-02-29T12:34:56Z");
}

ProfileLine some_line() {
  ProfileLine line;
  line.step = 100;
  line.steps = 50;
  line.seconds = 0.123456789;
  line.at = 12.5;
  line.positions = {0, 1};
  line.phases = {{"compute", {0.1, 0.11}}, {"exposed", {0.02, 1e-9}}};
  line.bytes = {{"memory", {1e9, 2e9}}};
  return line;
}

TEST(Profile, reads_what_it_wrote) {
  const ScratchFolder folder;
  const auto file = folder.path() / kProfile;
  // The last line is being written.
  write_file_atomically(
      file, profile_line_json(some_line()) + profile_line_json(some_line()) + "{\"step\":150");
  const std::vector<ProfileLine> lines = read_profile(file);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1].step, 100);
  EXPECT_NEAR(lines[1].seconds, 0.123456789, 1e-6);
  EXPECT_THAT(lines[1].phases.at("exposed"), ElementsAre(0.02, 1e-9));
  EXPECT_THAT(lines[1].bytes.at("memory"), ElementsAre(1e9, 2e9));
}

TEST(Profile, says_which_line_is_damaged) {
  const ScratchFolder folder;
  const auto file = folder.path() / kProfile;
  ProfileLine short_row = some_line();
  short_row.phases["data"] = {1};
  for (const std::string& damaged : {std::string("{\"step\":15\n"), profile_line_json(short_row)}) {
    write_file_atomically(file, profile_line_json(some_line()) + damaged);
    try {
      read_profile(file);
      FAIL() << damaged;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr("profile.jsonl, line 2: "));
    }
  }
}

TEST(Profile, keeps_the_slowest_of_many_ranks) {
  EXPECT_THAT(profiled_positions(3, 1), ElementsAre(0, 1, 2));
  for (const int slowest : {0, 1, 500, 998, 999}) {
    const std::vector<int> kept = profiled_positions(1000, slowest);
    EXPECT_EQ(kept.size(), static_cast<std::size_t>(kProfiledRanks));
    EXPECT_THAT(kept, testing::Contains(slowest));
    EXPECT_TRUE(std::ranges::is_sorted(kept));
    EXPECT_EQ(std::ranges::adjacent_find(kept), kept.end());
  }
}

}  // namespace
}  // namespace lockstep::train
