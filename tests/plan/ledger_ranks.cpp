// Under mpirun: the planned ledger of every position is, row by row and byte by byte, that of a run
// that has taken its memory; and a job's memory is that of the position that needs most.
// LOCKSTEP_DATA: a folder with small.h5 and text.h5 (tests/contract); LOCKSTEP_RUNS: of run files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "lockstep/comm/communicator.h"
#include "lockstep/config/run.h"
#include "lockstep/core/error.h"
#include "plan/memory.h"
#include "train/checkpoint_snapshot.h"
#include "train/planned_ledger.h"
#include "train/session.h"

namespace lockstep::plan {
namespace {

using Rows = std::vector<nn::LedgerRow>;
using Overrides = std::vector<std::string>;

comm::Communicator& world() {
  static const auto communicator = comm::make_communicator({});
  return *communicator;
}

std::string setting(const char* name) {
  const char* const text = std::getenv(name);
  LOCKSTEP_CHECK(text != nullptr, "{} is not set", name);
  return text;
}

constexpr const char* kModels[] = {"mlp", "cnn", "gpt"};

train::Run run_of(const std::string& model, Overrides overrides) {
  const std::string data = model == "gpt" ? "text.h5" : "small.h5";
  overrides.push_back("data.path=" + setting("LOCKSTEP_DATA") + "/" + data);
  overrides.emplace_back("checkpoint.dir=/nowhere");
  return config::read_run(setting("LOCKSTEP_RUNS") + "/" + model + ".toml", overrides);
}

// As a training run: everything made, windows taken, and the copy for checkpoints.
Rows real_rows(const train::Run& run) {
  train::Session session(world(), cpu_device(), run);
  std::vector<comm::LaneRange> lanes;
  for (const auto& of_stream : session.strategy->home())
    lanes.insert(lanes.end(), of_stream.begin(), of_stream.end());
  session.loader->start(lanes, {}, session.strategy->moves_lanes(),
                        parallel::lane_places(world().topology(), train::parallel_options(run)));
  Rows rows = session.ledger();
  const train::CheckpointSnapshot snapshot(session.layout(), world().topology().position,
                                           world().size(), true);
  rows.push_back({"checkpoint snapshot", snapshot.bytes(),
                  "what this rank writes of a checkpoint, while steps go on", true});
  return rows;
}

std::string text_of(const Rows& rows) {
  std::string text;
  for (const nn::LedgerRow& row : rows) {
    const bool measured = row.name == "program and libraries";
    text += fmt::format("{} {} {}\n", row.name, measured ? 0 : row.bytes, row.note);
  }
  return text;
}

std::uint64_t total(const Rows& rows) {
  return std::accumulate(rows.begin(), rows.end(), std::uint64_t{0}, [](auto sum, const auto& row) {
    return row.name == "program and libraries" ? sum : sum + row.bytes;
  });
}

void expect_planned(const std::string& model, const Overrides& overrides) {
  SCOPED_TRACE(fmt::format("{} {}", model, fmt::join(overrides, " ")));
  const train::Run run = run_of(model, overrides);
  const Rows real = real_rows(run);
  data::Manifest manifest = data::read_manifest(world(), run.data.dataset);
  data::cut_sequences(manifest, run.data.sequence);
  const train::Task task = train::make_task(run, manifest, run.data.train);
  const train::LedgerPlan plan(run, manifest, task, ops::Precision::kFp32);
  const parallel::Options options = train::parallel_options(run);
  EXPECT_EQ(text_of(plan.rows(world().topology(), options, 0)), text_of(real));

  const auto most = world().max(static_cast<std::int64_t>(total(real)));
  const Layout layout{world().size(), world().size()};
  EXPECT_EQ(static_cast<std::int64_t>(total(memory_of(run, manifest)(layout, options))), most);
}

TEST(PlannedLedger, is_that_of_a_replicated_run) {
  for (const char* model : kModels) expect_planned(model, {});
}

TEST(PlannedLedger, is_that_of_every_sharded_stage) {
  for (const char* model : kModels)
    for (const char* stage : {"1", "2", "3"})
      expect_planned(model, {"parallel.strategy=sharded", std::string("parallel.stage=") + stage});
}

TEST(PlannedLedger, is_that_of_local_steps) {
  expect_planned("mlp", {"parallel.strategy=local"});
  expect_planned("gpt", {"parallel.strategy=local", "parallel.outer=average", "parallel.every=3"});
}

TEST(PlannedLedger, knows_what_else_takes_memory) {
  for (const Overrides& overrides :
       {Overrides{"train.accumulate=2", "train.batch=96"}, {"optimizer.kind=lamb"},
        {"optimizer.kind=sgd", "optimizer.momentum=0"}, {"precision.leaf=bf16"},
        {"train.lanes=12"}, {"data.shuffle=full"}, {"parallel.bucket_bytes=4096"},
        {"assignment.kind=adaptive"}, {"assignment.kind=queue"}, {"run.threads=2"},
        {"parallel.strategy=sharded", "parallel.stage=2", "run.threads=2", "train.lanes=12"},
        {"parallel.strategy=sharded", "parallel.stage=3", "parallel.lane_group=2"},
        {"parallel.strategy=sharded", "parallel.stage=1", "optimizer.kind=lamb"}})
    expect_planned("mlp", overrides);
  expect_planned("gpt", {"train.recompute=block"});
}

}  // namespace
}  // namespace lockstep::plan
