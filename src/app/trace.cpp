#include <memory>

#include "app/commands.h"
#include "lockstep/core/files.h"
#include "lockstep/core/log.h"
#include "lockstep/train/timeline.h"

namespace lockstep::app {
namespace {

struct TraceOptions {
  std::vector<std::string> places;
  std::string out;
  int moments = 30;
};

ExitCode trace_command(const TraceOptions& options, Context& context) {
  if (!context.ranks.alone_in_charge()) return ExitCode::kDone;
  const auto rings = train::read_rings(options.places);
  if (options.out.empty()) {
    log::line(train::last_moments_text(rings, options.moments));
    return ExitCode::kDone;
  }
  write_file_atomically(options.out, train::trace_json(rings));
  log::info("{}: a timeline of {} ranks; open it in ui.perfetto.dev or chrome://tracing",
            options.out, rings.size());
  return ExitCode::kDone;
}

}  // namespace

void add_trace(CLI::App& program, Action& action) {
  auto options = std::make_shared<TraceOptions>();
  CLI::App* command =
      program.add_subcommand("trace", "Show what the ranks of a run that crashed or hung did last");
  command
      ->add_option("places", options->places,
                   "Folder of rings, checkpoint.dir that holds one, or rings of single ranks")
      ->required()
      ->type_name("DIR|FILES");
  command
      ->add_option("--out", options->out,
                   "Write a timeline of all that the rings hold, for ui.perfetto.dev, instead")
      ->type_name("FILE");
  command->add_option("--last", options->moments, "Events that are listed, of all ranks together")
      ->type_name("NUMBER")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->callback([&action, options] {
    action = [options](Context& context) { return trace_command(*options, context); };
  });
}

}  // namespace lockstep::app
