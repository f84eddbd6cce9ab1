#include "app/plan_simulated.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "lockstep/config/run.h"
#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/units.h"
#include "lockstep/plan/planned.h"
#include "lockstep/train/run_record.h"
#include "lockstep/train/timeline.h"

namespace lockstep::app {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTrace = "trace.json";

std::vector<train::RankTimes> times_of(const SimulatedRun& run, const plan::Simulated& outcome) {
  const auto steps = static_cast<double>(outcome.step_seconds.size());
  const auto ranks = static_cast<double>(outcome.ranks.size());
  std::vector<train::RankTimes> all;
  for (std::size_t rank = 0; rank < outcome.ranks.size(); ++rank) {
    const plan::Phases& p = outcome.ranks[rank];
    train::RankTimes times;
    times.total = steps * p.total();
    times.compute = steps * p.compute;
    times.data = steps * p.data;
    times.exposed = steps * p.exposed;
    times.hidden = steps * p.hidden;
    times.fold = steps * p.fold;
    times.other = steps * p.other;
    times.samples = static_cast<std::int64_t>(steps * static_cast<double>(run.job.batch) / ranks);
    times.flops = steps * run.job.flops() / ranks;
    times.bytes_sent = static_cast<std::int64_t>(steps * outcome.bytes_sent[rank]);
    times.bytes_read = static_cast<std::int64_t>(steps * outcome.bytes_read[rank]);
    times.bytes_loaded = static_cast<std::int64_t>(steps * static_cast<double>(run.job.batch) /
                                                   ranks * run.job.data.stored_bytes);
    if (run.machine.device.kind == "cpu")  // as a run tells it
      times.fma_peak = run.machine.device.fp32 * static_cast<double>(run.job.threads);
    all.push_back(times);
  }
  return all;
}

std::string failures_text(const SimulatedRun& run, const plan::Simulated& outcome) {
  if (run.machine.reliability.node_mtbf <= 0)
    return "no failures: the machine states none (reliability.node_mtbf)\n";
  double lost = 0;
  for (const plan::SimulatedFailure& f : outcome.failures) lost += f.lost + f.restart;
  std::string text =
      fmt::format("{} failure{} of nodes, {} lost to them\n", outcome.failures.size(),
                  outcome.failures.size() == 1 ? "" : "s", seconds_text(lost));
  if (!outcome.ends)
    text +=
        "failures come more often than the run gets on: it was given up. Save more often "
        "(checkpoint.every), or take fewer nodes\n";
  return text;
}

train::ProfileLine line_of(const plan::Simulated& outcome, std::size_t step, double at,
                           const std::vector<int>& positions) {
  train::ProfileLine line;
  line.step = static_cast<std::int64_t>(step) + 1;
  line.steps = 1;
  line.seconds = outcome.step_seconds[step];
  line.at = at;
  line.positions = positions;
  const std::vector<plan::Phases>& played = outcome.steps[step];
  for (const int position : positions) {
    const plan::Phases& p = played[static_cast<std::size_t>(position) % played.size()];
    line.phases["compute"].push_back(p.compute);
    line.phases["fold"].push_back(p.fold);
    line.phases["exposed"].push_back(p.exposed);
    line.phases["hidden"].push_back(p.hidden);
    line.phases["data"].push_back(p.data);
    line.phases["other"].push_back(p.other);
    line.bytes["sent"].push_back(outcome.bytes_sent[position]);
    line.bytes["read"].push_back(outcome.bytes_read[position]);
  }
  return line;
}

train::RunRecord record_of(const SimulatedRun& run, const plan::Simulated& outcome,
                           const std::string& folder) {
  train::RunRecord record;
  record.name = fs::path(folder).filename().string();
  record.simulated = true;
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  record.started = train::utc_text(now);
  record.ended = train::utc_text(now + outcome.seconds);
  record.ending = outcome.ends ? "done" : "too many failures";
  record.resolved_toml = config::resolved_toml(run.run);
  record.settings = {
      {"simulated", fmt::format("{} steps, seed {}", run.options.steps, run.options.seed)},
      {"machine", run.machine.name},
      {"device", run.machine.device.name},
      {"ranks", fmt::format("{} on {} node{}", run.layout.ranks, run.layout.nodes(),
                            run.layout.nodes() == 1 ? "" : "s")}};
  for (const auto& [key, source] : run.machine.sources) record.environment.push_back({key, source});
  for (std::int64_t rank = 0; rank < run.layout.ranks; ++rank)
    record.hosts.push_back(fmt::format("node{}", rank / run.layout.ranks_per_node));
  record.ranks = run.layout.ranks;
  record.nodes = run.layout.nodes();
  record.threads = run.job.threads;
  record.batch = run.job.batch;
  record.lanes = run.job.lanes;
  record.steps = run.job.steps;
  record.steps_per_epoch = run.job.steps_per_epoch;
  record.sequence = run.job.sequence;
  record.parameters = static_cast<double>(run.job.parameters);
  record.step_flops = run.job.flops();
  const plan::Prediction prediction =
      plan::predict(run.job, run.machine, run.layout, run.job.parallel);
  record.planned = plan::planned_record(prediction, run.machine.name);
  for (const nn::LedgerRow& row : prediction.memory)
    record.ledger.push_back({row.name, row.bytes, row.note});
  return record;
}

}  // namespace

std::string simulated_text(const SimulatedRun& run, const plan::Simulated& outcome) {
  const auto [least, most] = std::ranges::minmax(outcome.step_seconds);
  std::string text = fmt::format(
      "Simulated: {} on {}, {} rank{} on {} node{}, {} steps of {} to {}, seed {}\n", run.job.name,
      run.machine.name, run.layout.ranks, run.layout.ranks == 1 ? "" : "s", run.layout.nodes(),
      run.layout.nodes() == 1 ? "" : "s", outcome.step_seconds.size(), seconds_text(least),
      seconds_text(most), run.options.seed);
  text += train::summary_text(times_of(run, outcome), run.job.sequence);
  text +=
      fmt::format("the whole run, {} steps: {}\n", run.job.steps, seconds_text(outcome.seconds));
  if (outcome.checkpoint_steps > 0)
    text += fmt::format("a checkpoint every {} steps\n", outcome.checkpoint_steps);
  text += failures_text(run, outcome);
  text += fmt::format("goodput {:.1f} %\n", 100 * outcome.goodput);
  return text;
}

void write_simulated(const SimulatedRun& run, const plan::Simulated& outcome,
                     const std::string& folder) {
  const fs::path place = folder;
  std::error_code error;
  fs::create_directories(place, error);
  if (error) throw UserError("cannot make the folder {}: {}", folder, error.message());
  if (fs::exists(place / train::kRunRecord))
    throw UserError("{} holds the record of a run already; name another folder for --out", folder);
  int slowest = 0;
  for (std::size_t rank = 0; rank < outcome.ranks.size(); ++rank)
    if (outcome.ranks[rank].compute > outcome.ranks[slowest].compute)
      slowest = static_cast<int>(rank);
  const auto positions = train::profiled_positions(static_cast<int>(outcome.ranks.size()), slowest);
  std::string profile;
  double at = 0;
  for (std::size_t step = 0; step < outcome.steps.size(); ++step) {
    at += outcome.step_seconds[step];
    profile += train::profile_line_json(line_of(outcome, step, at, positions));
  }
  const train::RunRecord record = record_of(run, outcome, folder);
  write_file_atomically(place / train::kProfile, profile);
  write_file_atomically(place / train::kPlanRecord, train::planned_record_json(*record.planned));
  write_file_atomically(place / kTrace, train::trace_json(outcome.rings));
  write_file_atomically(place / train::kRunRecord, train::run_record_json(record));
}

}  // namespace lockstep::app
