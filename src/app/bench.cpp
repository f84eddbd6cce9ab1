#include "lockstep/bench/bench.h"

#include <unistd.h>

#include <filesystem>
#include <memory>

#include "app/bench_tables.h"
#include "app/commands.h"
#include "app/version.h"
#include "lockstep/config/machine.h"
#include "lockstep/core/files.h"
#include "lockstep/core/log.h"

namespace lockstep::app {
namespace {

struct CalibrateOptions {
  bench::Request request;
  std::string out = "machine.toml", pretend_nodes;
};

ExitCode calibrate_command(const CalibrateOptions& options, Context& context) {
  const std::filesystem::path folder = std::filesystem::absolute(options.out).parent_path();
  if (::access(folder.c_str(), W_OK) != 0)
    throw UserError("--out {}: cannot write in {}", options.out, folder.string());
  comm::CommOptions ranks;
  ranks.pretend_nodes = options.pretend_nodes;
  comm::Communicator& communicator = context.ranks.connect(ranks);
  bench::Request request = options.request;
  request.version = version_number();
  const bench::Calibration found = bench::calibrate(communicator, request);
  if (log::speaks()) log::line(found.results.text());
  communicator.together([&] {
    if (communicator.rank() != 0) return;
    if (!found.results.all_verified())
      throw DataError(
          "what was measured was computed wrongly, as the table says; no file is written");
    const std::string text = plan::machine_toml(found.machine);
    // What was written can be read: a figure that is no number would be found now.
    plan::check_complete(config::parse_machine(text, options.out), options.out);
    write_file_atomically(options.out, text);
  });
  log::info("{}: what lockstep plan takes as --machine", options.out);
  return ExitCode::kDone;
}

// What every benchmark has.
void add_request(CLI::App& command, bench::Request& request) {
  command.add_option("--device", request.device, "What a rank computes on: cpu, cuda, cuda:1")
      ->capture_default_str()
      ->type_name("NAME");
  command.add_option("--folder", request.folder, "Folder whose file system is measured")
      ->capture_default_str()
      ->type_name("DIR");
  command.add_option("--seconds", request.seconds, "Seconds that each figure may take")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("NUMBER");
}

void add_calibrate(CLI::App& bench, Action& action) {
  auto options = std::make_shared<CalibrateOptions>();
  CLI::App* command = bench.add_subcommand(
      "calibrate", "Measure this machine, with all ranks at work, into a file for lockstep plan");
  command->add_option("--out", options->out, "The machine file to write")
      ->capture_default_str()
      ->type_name("FILE");
  add_request(*command, options->request);
  // As parallel.pretend_nodes, for tests.
  command->add_option("--pretend-nodes", options->pretend_nodes, "Node of each rank")->group("");
  command->callback([&action, options] {
    action = [options](Context& context) { return calibrate_command(*options, context); };
  });
}

}  // namespace

void add_bench(CLI::App& program, Action& action) {
  CLI::App* bench = program.add_subcommand(
      "bench", "Measure this machine, and what runs on it: verified, then timed");
  bench->require_subcommand(1);
  add_calibrate(*bench, action);
  add_bench_tables(*bench, action);
}

}  // namespace lockstep::app
