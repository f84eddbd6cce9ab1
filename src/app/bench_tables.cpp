#include "app/bench_tables.h"

#include <memory>
#include <vector>

#include "app/load_run.h"
#include "app/version.h"
#include "lockstep/bench/bench.h"
#include "lockstep/config/run.h"
#include "lockstep/core/files.h"
#include "lockstep/core/isa.h"
#include "lockstep/core/log.h"

namespace lockstep::app {
namespace {

using Benchmark = bench::Results (*)(comm::Communicator&, const bench::Request&);

struct TableOptions {
  std::string file, csv, json, device;
  std::vector<std::string> overrides;
  bench::Request request;
  Benchmark benchmark = nullptr;
};

ExitCode table_command(TableOptions options, Context& context) {
  Loaded loaded = load_run(context.ranks, "the run file " + options.file, [&](Loaded& mine) {
    if (options.file.empty()) {
      if (!options.overrides.empty())
        throw UserError("--set needs a run file: lockstep bench step run.toml --set ...");
      return;
    }
    mine.run = config::read_run(options.file, options.overrides);
    config::check_complete(mine.run, options.file);
    if (!options.device.empty()) mine.run.run.device = options.device;
  });
  set_float_environment();
  if (!options.device.empty()) options.request.device = options.device;
  if (!options.file.empty()) options.request.run = &loaded.run;
  comm::Communicator& communicator = *loaded.communicator;
  bench::Results results = options.benchmark(communicator, options.request);
  results.facts.insert(results.facts.begin(), {"lockstep", version_number()});
  if (log::speaks()) log::line(results.text());
  communicator.together([&] {
    if (communicator.rank() != 0) return;
    if (!options.csv.empty()) write_file_atomically(options.csv, results.csv());
    if (!options.json.empty()) write_file_atomically(options.json, results.json());
  });
  return results.all_verified() ? ExitCode::kDone : ExitCode::kNo;
}

struct Table {
  const char *name, *help, *groups;
  Benchmark benchmark;
  const char* run;  // what a run file is for; null: it takes none
  bool folder = false, preset = false, device = false;
};

constexpr Table kTables[] = {
    {"kernels", "Kernels of this program, in percent of what the processor gives",
     "gemm, convolution, attention, norm, elementwise, embedding, loss, update, fold",
     bench::bench_kernels, nullptr, false, false, true},
    {"comm", "Messages and collectives between ranks: latency, bandwidth, bus bandwidth",
     "latency, bandwidth, bidirectional, allreduce, reduce-scatter, allgather, broadcast",
     bench::bench_comm, "Run file (TOML) whose run and parallel sections count"},
    {"data", "Reading: raw bytes, decoded chunks, the loader's windows", "read, decode, loader",
     bench::bench_data, "Run file (TOML) whose data are read; else images made in --folder", true},
    {"step", "Whole training steps, and where their seconds go", "step, phases", bench::bench_step,
     "Run file (TOML) whose steps are timed, on its data; else a preset's", false, true, true},
    {"scaling", "Steps on 1, 2, 4, ... of the ranks: strong and weak series", "strong, weak",
     bench::bench_scaling, "Run file (TOML) whose steps are timed, on its data; else a preset's",
     false, true, true},
};

void add_table(CLI::App& bench, Action& action, const Table& table) {
  auto options = std::make_shared<TableOptions>();
  options->benchmark = table.benchmark;
  bench::Request& request = options->request;
  CLI::App* command = bench.add_subcommand(table.name, table.help);
  if (table.run != nullptr) {
    command->add_option("run", options->file, table.run)->type_name("FILE");
    add_overrides(*command, options->overrides);
  }
  command->add_option("--csv", options->csv, "Write the rows as CSV")->type_name("FILE");
  command->add_option("--json", options->json, "Write everything as JSON")->type_name("FILE");
  command
      ->add_option("--seconds", request.seconds,
                   "Seconds that each row may take; a call that takes longer is made all the same")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("NUMBER");
  command
      ->add_option("--only", request.only,
                   fmt::format("Groups, or rows by how they begin (\"GROUP NAME\"), separated by "
                               "commas: {}",
                               table.groups))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("GROUPS");
  if (table.device)
    command->add_option("--device", options->device, "What a rank computes on: cpu, cuda, cuda:1")
        ->type_name("NAME");
  if (table.folder)
    command->add_option("--folder", request.folder, "Folder in which data are made and removed")
        ->capture_default_str()
        ->type_name("DIR");
  if (table.preset)
    command
        ->add_option("--preset", request.preset,
                     "Without a run file: mlp, lenet, resnet20, gpt, gpt2-124m, gpt2-124m-1024, llama "
                     "or cosmoflow, on numbers in memory")
        ->capture_default_str()
        ->type_name("NAME");
  command->footer(
      "Every row is verified before it is timed; a row that is wrong is shown as WRONG, and the "
      "exit code is 1.");
  command->callback([&action, options] {
    action = [options](Context& context) { return table_command(*options, context); };
  });
}

}  // namespace

void add_bench_tables(CLI::App& bench, Action& action) {
  for (const Table& table : kTables) add_table(bench, action, table);
}

}  // namespace lockstep::app
