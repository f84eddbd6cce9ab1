#include "lockstep/train/metrics_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "lockstep/core/files.h"
#include "train/scratch_folder.h"

namespace lockstep::train {
namespace {

using nlohmann::json;

std::vector<json> lines_of(const std::filesystem::path& file) {
  std::istringstream in(read_file(file));
  std::vector<json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
  return lines;
}

std::vector<std::string> without_time(const std::filesystem::path& file) {
  std::vector<std::string> lines;
  for (json& line : lines_of(file)) {
    line.erase("time");
    lines.push_back(line.dump());
  }
  return lines;
}

double loss_of(std::int64_t step) { return 1.0 / (3.0 + static_cast<double>(step)); }

// Steps (from, to] of a run with a line every 7 steps and an evaluation every 10, evaluated before
// the state is saved.
Progress train(MetricsLog& log, const Progress& from, std::int64_t begin, std::int64_t end) {
  MetricsWindow window;
  if (begin > 0) window.load(from);
  for (std::int64_t step = begin + 1; step <= end; ++step) {
    window.add(loss_of(step), {{"accuracy", 0.1 * loss_of(step)}}, 1e-3 / static_cast<double>(step),
               2.5);
    if (window.steps() == 7)
      log.write(window.close(step, step / 10), {static_cast<double>(begin), 1.0});
    if (step % 10 == 0) {
      log.write(
          EvaluationRecord{step, step / 10, "val", loss_of(step), {{"accuracy", 0.5}}, step == 20},
          {});
    }
  }
  Progress progress;
  window.save(progress);
  return progress;
}

TEST(MetricsLog, is_the_same_after_a_resume_at_any_step) {
  const ScratchFolder folder;
  const auto straight = folder.path() / "straight.jsonl";
  {
    MetricsLog log(straight, std::nullopt);
    train(log, {}, 0, 50);
  }
  ASSERT_EQ(lines_of(straight).size(), 7u + 5u);
  for (std::int64_t saved : {1, 6, 7, 8, 10, 20, 31, 49}) {
    const auto file = folder.path() / "resumed.jsonl";
    Progress progress;
    {
      MetricsLog log(file, std::nullopt);
      progress = train(log, {}, 0, saved);
      train(log, progress, saved, saved + 15);  // then it is killed, in the middle of a line
    }
    write_file_atomically(file, read_file(file) + R"({"step":)");
    {
      MetricsLog log(file, saved);
      train(log, progress, saved, 50);
    }
    EXPECT_EQ(without_time(file), without_time(straight)) << saved;
  }
}

TEST(MetricsLog, starts_empty_without_a_resume) {
  const ScratchFolder folder;
  const auto file = folder.path() / "m.jsonl";
  write_file_atomically(file, "{\"step\":1}\n");
  { const MetricsLog log(file, std::nullopt); }
  EXPECT_EQ(read_file(file), "");
  { const MetricsLog log(folder.path() / "other.jsonl", 5); }  // resumed, but there is no file
  EXPECT_EQ(read_file(folder.path() / "other.jsonl"), "");
}

TEST(MetricsLog, prints_numbers_that_read_back_as_they_were) {
  const ScratchFolder folder;
  const auto file = folder.path() / "m.jsonl";
  const std::vector<double> values{0.1,  1.0 / 3, 1e-300, 123456789.123456789,
                                   -0.0, 5e-324,  1e22,   3};
  {
    MetricsLog log(file, std::nullopt);
    for (double v : values) log.write(WindowRecord{1, 2, v, {{"a \"b\"", v}}, v, v}, {});
    log.write(WindowRecord{1, 2, NAN, {}, 1, HUGE_VAL}, {});
  }
  const std::vector<json> lines = lines_of(file);
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (const char* key : {"loss", "a \"b\"", "lr", "gradient_norm"}) {
      EXPECT_EQ(lines[i][key].get<double>(), values[i]);
    }
  }
  EXPECT_TRUE(lines.back()["loss"].is_null() && lines.back()["gradient_norm"].is_null());
  EXPECT_NE(read_file(file).find("\"loss\":0.1,"), std::string::npos);  // and no longer than needed
}

TEST(MetricsWindow, gives_means_and_starts_again) {
  MetricsWindow window;
  window.add(1, {{"accuracy", 0.25}}, 0.5, 3);
  window.add(2, {{"accuracy", 0.75}}, 0.25, 5);
  const WindowRecord r = window.close(2, 0);
  EXPECT_EQ(r.loss, 1.5);
  EXPECT_EQ(r.metrics, (NamedValues{{"accuracy", 0.5}}));
  EXPECT_EQ(r.lr, 0.25);
  EXPECT_EQ(r.gradient_norm, 4);
  EXPECT_EQ(window.steps(), 0);
  Progress progress;
  progress.reals["window/metric/gone"] = 1;
  window.save(progress);
  EXPECT_EQ(progress.reals.count("window/metric/gone"), 0u);
}

TEST(MetricsWindow, does_not_count_what_was_left_out) {
  MetricsWindow window, resumed;
  Progress progress;
  window.save(progress);
  EXPECT_FALSE(progress.integers.contains("window/left_out"));
  window.add(4, {{"accuracy", 0.25}}, 0.1, 2);
  window.leave_out(0.2);
  window.save(progress);
  resumed.load(progress);
  resumed.add(6, {{"accuracy", 0.75}}, 0.3, 4);
  EXPECT_EQ(resumed.steps(), 3);
  const WindowRecord record = resumed.close(3, 1);
  EXPECT_EQ(record.loss, 5);
  EXPECT_EQ(record.metrics.front().second, 0.5);
  EXPECT_EQ(record.gradient_norm, 3);
  EXPECT_EQ(record.lr, 0.3);
}

// A rollback stands at the step that it led to: a resume from there has not seen it.
TEST(MetricsLog, keeps_the_rollbacks_that_the_state_knows_of) {
  const ScratchFolder folder;
  const auto file = folder.path() / "metrics.jsonl";
  {
    MetricsLog log(file, std::nullopt);
    log.write(EventRecord{3, "skipped", "the loss of lane 3 is not finite"}, {});
    log.write(EventRecord{4, "rollback", "the \"one\"", 1}, {});
    log.write(EventRecord{4, "rollback", "another", 2}, {});
    log.write(EventRecord{5, "spike", "late"}, {});
  }
  EXPECT_EQ(without_time(file).front(),
            R"({"event":"skipped","step":3,"why":"the loss of lane 3 is not finite"})");
  { MetricsLog log(file, 4, 1); }
  const std::vector<std::string> kept{
      R"({"event":"skipped","step":3,"why":"the loss of lane 3 is not finite"})",
      R"({"event":"rollback","rollback":1,"step":4,"why":"the \"one\""})"};
  EXPECT_EQ(without_time(file), kept);
  { MetricsLog log(file, 4); }
  EXPECT_EQ(lines_of(file).size(), 1U);
}

}  // namespace
}  // namespace lockstep::train
