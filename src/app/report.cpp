#include "lockstep/report/report.h"

#include <filesystem>
#include <memory>

#include "app/commands.h"
#include "lockstep/core/files.h"
#include "lockstep/core/log.h"
#include "lockstep/core/units.h"

namespace lockstep::app {
namespace {

struct ReportOptions {
  std::vector<std::string> runs;
  std::string out = "report.html";
};

ExitCode report_command(const ReportOptions& options, Context& context) {
  if (!context.ranks.alone_in_charge()) return ExitCode::kDone;
  const std::string page = report::report_page({options.runs.begin(), options.runs.end()});
  write_file_atomically(options.out, page);
  log::info("{}: {} run{}, {}; open it in a browser", options.out, options.runs.size(),
            options.runs.size() == 1 ? "" : "s", bytes_text(static_cast<double>(page.size())));
  return ExitCode::kDone;
}

}  // namespace

void add_report(CLI::App& program, Action& action) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command = program.add_subcommand(
      "report", "Show what runs did, as one HTML page: curves, time, memory, plan, configuration");
  command
      ->add_option("runs", options->runs,
                   "Folders of runs (checkpoint.dir); several are laid over each other")
      ->required()
      ->type_name("DIR");
  command->add_option("--out", options->out, "The page")->type_name("FILE")->capture_default_str();
  command->callback([&action, options] {
    action = [options](Context& context) { return report_command(*options, context); };
  });
}

}  // namespace lockstep::app
