#include "lockstep/config/reference.h"

#include <gtest/gtest.h>

#include <set>

#include "config/options.h"
#include "lockstep/core/error.h"
#include "lockstep/core/files.h"

namespace lockstep::config {
namespace {

TEST(OptionTable, has_each_key_once_with_help_and_a_default_in_its_range) {
  std::set<std::string> seen;
  const train::Run defaults;
  for (const SectionTable& section : sections()) {
    EXPECT_FALSE(section.help.empty());
    for (const auto& o : section.options) {
      const std::string key = section.name + "." + o.name;
      EXPECT_TRUE(seen.insert(key).second) << key;
      EXPECT_FALSE(o.help.empty()) << key;
      EXPECT_EQ(o.help.back(), '.') << key;
      EXPECT_NO_THROW(o.validate(key, o.get(defaults))) << key;
      if (!o.only_for.empty()) {
        const auto* decider = section.find(o.only_with);
        ASSERT_NE(decider, nullptr) << key;
        for (const std::string& word : o.only_for) EXPECT_NO_THROW(decider->validate(key, word));
      }
    }
  }
  EXPECT_EQ(seen.size(), option_rows().size());
}

// A member of Run without a row would keep its default for ever: the sizes are those of the structs
// as they were when the table was last completed.
TEST(OptionTable, covers_every_member_of_the_run) {
  const auto rows = [](const std::string& section) {
    return find_section(section)->options.size();
  };
  EXPECT_EQ(rows("data"), 21U);
  EXPECT_EQ(rows("model"), 16U);
  EXPECT_EQ(rows("train"), 19U);
  EXPECT_EQ(rows("optimizer"), 14U);  // total_steps follows from the run
  EXPECT_EQ(rows("parallel"), 14U);   // with the next two
  EXPECT_EQ(rows("assignment"), 3U);
  EXPECT_EQ(rows("precision"), 1U);
  EXPECT_EQ(rows("run"), 10U);
  EXPECT_EQ(rows("checkpoint"), 5U);
  EXPECT_EQ(rows("log"), 5U);
  EXPECT_EQ(rows("plan"), 1U);
  [[maybe_unused]] const auto [dataset, input, target, train, val, test, normalise, shuffle, window,
                               sequence, check, other, decoders, cache, on_error, skipped] =
      train::DataSection{};
  [[maybe_unused]] const auto [files, fields, splits, split_seed, follow, probe] =
      data::Description{};
  [[maybe_unused]] const auto [preset, layers, outputs, loss, metrics] = train::ModelSection{};
  [[maybe_unused]] const auto [name, hidden, activation, dropout, width, blocks, embedding, heads,
                               kv_heads, feed_forward, context, rotary, tied] = nn::PresetOptions{};
  [[maybe_unused]] const auto [batch, lanes, accumulate, epochs, steps, seed, precision, recompute,
                               every, patience, delta, monitor, bad, spike, threshold, spike_window,
                               skips, rollbacks, behind] = train::TrainSection{};
  [[maybe_unused]] const auto [parallel, pretend] = train::ParallelSection{};
  [[maybe_unused]] const auto [way, all_lanes, micros, bucket, streams, reduce, leaf, stage, group,
                               servers, mode, staleness, lease, replicas, meeting, outer, outer_lr,
                               outer_momentum, assignment, extra] = parallel::Options{};
  [[maybe_unused]] const auto [threads, isa, device, watchdog, memory, mixed, progress, until,
                               before, copies] = train::RunSection{};
  [[maybe_unused]] const auto [dir, when, mtbf, background, keep] = train::CheckpointSection{};
  [[maybe_unused]] const auto [seconds, lines, events, prometheus, mlperf] = train::LogSection{};
  [[maybe_unused]] const auto [machine] = train::PlanSection{};
  [[maybe_unused]] const auto [kind, lr, momentum, beta1, beta2, epsilon, decay, nesterov, schedule,
                               warmup, total, step_every, factor, min_lr, clip] = optim::Options{};
  [[maybe_unused]] const auto [a, b, c, d, e, f, g, h, i] = train::Run{};
}

TEST(Reference, names_every_key_in_every_form) {
  const std::string help = options_text();
  const std::string page = options_markdown();
  for (const OptionRow& row : option_rows()) {
    EXPECT_NE(help.find(row.section + "." + row.name + " = "), std::string::npos) << row.name;
    EXPECT_NE(page.find("| `" + row.name + "` | "), std::string::npos) << row.name;
  }
  for (const auto& rows : {field_rows(), split_rows(), layer_rows()})
    for (const OptionRow& row : rows) {
      EXPECT_NE(page.find("| `" + row.name + "` | "), std::string::npos) << row.name;
    }
}

TEST(Reference, page_in_the_tree_is_the_generated_one) {
  EXPECT_EQ(read_file(LOCKSTEP_RUN_FILE_PAGE), options_markdown())
      << "run: lockstep config --options > docs/run-file.md";
}

}  // namespace
}  // namespace lockstep::config
