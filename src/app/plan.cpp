// lockstep plan: what a run will need and take, before it takes anything.
#include <algorithm>
#include <memory>

#include "app/commands.h"
#include "app/plan_json.h"
#include "app/plan_simulated.h"
#include "lockstep/config/interval.h"
#include "lockstep/config/machine.h"
#include "lockstep/config/run.h"
#include "lockstep/core/log.h"
#include "lockstep/core/units.h"
#include "lockstep/plan/advice.h"
#include "lockstep/plan/tables.h"

namespace lockstep::app {
namespace {

constexpr std::int64_t kMostRanks = 16384;

struct PlanOptions {
  std::string file, machine, json, within;
  std::vector<std::int64_t> ranks;
  std::int64_t ranks_per_node = 0;
  std::vector<std::string> overrides;
  bool simulate = false;
  std::uint64_t seed = 1;
  std::string out;
};

// Of a node with as many cores as the run's ranks have threads, or one device for each.
std::int64_t usual_ranks_per_node(const plan::Job& job, const plan::Machine* machine) {
  if (machine == nullptr || machine->device.per_node == 0) return kMostRanks;
  const std::int64_t threads = machine->device.kind == "cpu" ? job.threads : 1;
  return std::max<std::int64_t>(1, machine->device.per_node / threads);
}

bool joins_nodes(const plan::Machine& machine) { return machine.levels.size() > 1; }

std::vector<std::int64_t> usual_ranks(const plan::Job& job, std::int64_t ranks_per_node) {
  const std::int64_t most = std::min(job.lanes, ranks_per_node);
  return most > 1 ? std::vector<std::int64_t>{1, most} : std::vector<std::int64_t>{1};
}

std::string machine_of(const PlanOptions& options, const train::Run& run) {
  return options.machine.empty() ? fmt::format("{}", fmt::join(run.plan.machine, ","))
                                 : options.machine;
}

// On the device that the machine has, whatever the run file says: what is asked is how it would run
// there.
plan::Job job_of(const PlanOptions& options, const std::optional<plan::Machine>& machine,
                 train::Run run) {
  if (machine && !run.run.device.starts_with(machine->device.kind))
    run.run.device = machine->device.kind;
  return plan::make_job(run, options.file);
}

plan::Advice advice_of(const PlanOptions& options, const PlanReport& report) {
  if (!report.machine && !options.within.empty())
    throw UserError("--within = \"{}\" needs times: name a machine with --machine", options.within);
  if (!report.machine) return plan::advise_without_times(report.job);
  plan::AdviceOptions asked;
  if (!options.ranks.empty()) asked.asked = report.ways.back().layout;
  if (!options.within.empty()) asked.within = config::duration("--within", options.within);
  asked.remade = [&](const std::vector<std::string>& overrides) {
    std::vector<std::string> all = options.overrides;
    all.insert(all.end(), overrides.begin(), overrides.end());
    return job_of(options, report.machine, config::read_run(options.file, all));
  };
  return plan::advise(report.job, *report.machine, asked);
}

PlanReport report_of(const PlanOptions& options) {
  const train::Run run = config::read_run(options.file, options.overrides);
  config::check_complete(run, options.file);
  PlanReport report;
  if (const std::string list = machine_of(options, run); !list.empty()) {
    report.machine = config::read_machine(list);
    plan::check_complete(*report.machine, list);
  }
  report.job = job_of(options, report.machine, run);
  const plan::Machine* machine = report.machine ? &*report.machine : nullptr;
  const std::int64_t per_node = options.ranks_per_node > 0
                                    ? options.ranks_per_node
                                    : usual_ranks_per_node(report.job, machine);
  const auto ranks = options.ranks.empty() ? usual_ranks(report.job, per_node) : options.ranks;
  for (const std::int64_t count : options.ranks) {
    if (count > report.job.lanes)
      throw UserError(
          "{} ranks are more than train.lanes = {}; name no more, or set train.lanes higher", count,
          report.job.lanes);
  }
  for (const std::int64_t count : ranks) {
    const plan::Layout layout{count, std::min(count, per_node)};
    for (plan::PlannedWay& way : plan::plan_ways(report.job, machine, layout))
      report.ways.push_back(std::move(way));
  }
  report.advice = advice_of(options, report);
  if (machine == nullptr || !parallel::has_plan(report.job.parallel.kind)) return report;
  const std::int64_t most = joins_nodes(*machine) ? kMostRanks : per_node;
  for (const auto kind : {plan::Scaling::kStrong, plan::Scaling::kWeak}) {
    auto& series = kind == plan::Scaling::kStrong ? report.strong : report.weak;
    series = plan::scaling(report.job, *machine, kind, most, per_node, report.job.parallel);
  }
  return report;
}

constexpr const char* kNoMachine =
    "No times: name a machine with --machine or plan.machine. lockstep bench calibrate measures "
    "this\n"
    "one into a file; known devices and networks have names (lockstep plan --help).\n";

// The run's own way on each layout, as far as it has times.
std::string finish_text(const PlanReport& report) {
  std::string text;
  const std::string own = plan::way_name(report.job.parallel);
  for (const plan::PlannedWay& way : report.ways) {
    if (!way.prediction || plan::way_name(way.parallel) != own) continue;
    text +=
        fmt::format("  {} rank{}, {}: done in {}\n", way.layout.ranks,
                    way.layout.ranks == 1 ? "" : "s", own, seconds_text(way.prediction->seconds));
    if (way.layout.ranks == report.ways.back().layout.ranks)
      text += plan::checkpoint_text(report.job, *way.prediction);
  }
  return text;
}

std::string report_text(const PlanReport& report) {
  std::string text = fmt::format("{}\nPlan of {}\n{}", plan::advice_text(report.advice),
                                 report.job.name, plan::job_text(report.job));
  for (auto way = report.ways.begin(); way != report.ways.end();) {
    const auto end = std::find_if(way, report.ways.end(), [&](const plan::PlannedWay& other) {
      return other.layout.ranks != way->layout.ranks;
    });
    text += "\n" + plan::memory_text(report.job, {way, end});
    way = end;
  }
  if (!report.machine) return text + "\n" + kNoMachine;
  text += fmt::format("\nA step on {}\n{}", report.machine->name,
                      plan::steps_text(report.job, report.ways));
  text += "\nThe whole run\n" + finish_text(report);
  if (!report.strong.empty())
    text += "\n" + plan::scaling_text(report.job, report.strong, plan::Scaling::kStrong);
  if (!report.weak.empty())
    text += "\n" + plan::scaling_text(report.job, report.weak, plan::Scaling::kWeak);
  if (!report.weak.empty() && !joins_nodes(*report.machine))
    text += fmt::format("  One node: {} does not say what lies between nodes.\n",
                        report.machine->name);
  return text;
}

// The run on the last of --ranks, played out.
void simulate_run(const PlanOptions& options) {
  const train::Run run = config::read_run(options.file, options.overrides);
  config::check_complete(run, options.file);
  const std::string list = machine_of(options, run);
  if (list.empty())
    throw UserError("--simulate needs times: name a machine with --machine or plan.machine");
  const std::optional<plan::Machine> machine = config::read_machine(list);
  plan::check_complete(*machine, list);
  const plan::Job job = job_of(options, machine, run);
  const std::int64_t per_node =
      options.ranks_per_node > 0 ? options.ranks_per_node : usual_ranks_per_node(job, &*machine);
  const std::int64_t ranks =
      options.ranks.empty() ? usual_ranks(job, per_node).back() : options.ranks.back();
  plan::SimulateOptions how;
  how.seed = options.seed;
  const SimulatedRun simulated{run, job, *machine, {ranks, std::min(ranks, per_node)}, how};
  const plan::Simulated outcome = plan::simulate(job, *machine, simulated.layout, how);
  log::line(simulated_text(simulated, outcome));
  if (!options.out.empty()) write_simulated(simulated, outcome, options.out);
}

ExitCode plan_command(const PlanOptions& options, Context& context) {
  if (!context.ranks.alone_in_charge()) return ExitCode::kDone;
  if (options.simulate) {
    simulate_run(options);
    return ExitCode::kDone;
  }
  const PlanReport report = report_of(options);
  log::line(report_text(report));
  if (!options.json.empty()) write_plan_json(report, options.json);
  return ExitCode::kDone;
}

}  // namespace

void add_plan(CLI::App& program, Action& action) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* command = program.add_subcommand(
      "plan", "Say what a run will need and take: memory, time, ranks, what holds it back");
  command->add_option("run", options->file, "Run file (TOML)")->required()->type_name("FILE");
  command
      ->add_option("--ranks", options->ranks,
                   "Numbers of ranks, with commas; else 1 and as many as fill a node")
      ->delimiter(',')
      ->type_name("N,N,...")
      ->check(CLI::Range(std::int64_t{1}, kMostRanks));
  command
      ->add_option(
          "--ranks-per-node", options->ranks_per_node,
          "Ranks of a node; else one for each core or device that the machine's nodes have")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{1}, kMostRanks));
  command
      ->add_option("--machine", options->machine,
                   "Machine files or names with commas, each laid over those before it: " +
                       config::shipped_machines_text() + "; else plan.machine of the run file")
      ->type_name("FILE|NAME,...");
  command
      ->add_option("--within", options->within,
                   "Say how many ranks end the run in this time, as in 90s, 30min, 2h, 1d")
      ->type_name("TIME");
  command->add_option("--json", options->json, "File for the same figures as JSON")
      ->type_name("FILE");
  CLI::Option* simulate = command->add_flag(
      "--simulate", options->simulate,
      "Play the run out op by op and message by message on the last of --ranks, with the machine's "
      "jitter, stragglers and failures, and report as a run does");
  command->add_option("--seed", options->seed, "What --simulate draws with")
      ->type_name("N")
      ->needs(simulate);
  command
      ->add_option("--out", options->out,
                   "Folder for what --simulate leaves: run.json and profile.jsonl for lockstep "
                   "report, and trace.json, the last step in Perfetto")
      ->type_name("DIR")
      ->needs(simulate);
  add_overrides(*command, options->overrides);
  command->callback([&action, options] {
    action = [options](Context& context) { return plan_command(*options, context); };
  });
}

}  // namespace lockstep::app
