#include <memory>

#include "app/commands.h"
#include "lockstep/core/log.h"
#include "lockstep/train/checkpoint.h"

namespace lockstep::app {
namespace {

struct VerifyOptions {
  std::string a, b;
};

ExitCode verify_command(const VerifyOptions& options, Context& context) {
  if (!context.ranks.alone_in_charge()) return ExitCode::kDone;
  const std::string a = find_checkpoint(options.a, false);
  const std::string b = find_checkpoint(options.b, false);
  const train::Comparison comparison = train::compare_checkpoints(a, b);
  log::info("{}", comparison.text);
  return comparison.equal ? ExitCode::kDone : ExitCode::kNo;
}

}  // namespace

void add_verify(CLI::App& program, Action& action) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = program.add_subcommand(
      "verify", "Compare two checkpoints by their digests; exit code 1 if they differ");
  command->add_option("a", options->a, "Checkpoint, or a folder: its newest one")
      ->required()
      ->type_name("FILE");
  command->add_option("b", options->b, "The other one")->required()->type_name("FILE");
  command->callback([&action, options] {
    action = [options](Context& context) { return verify_command(*options, context); };
  });
}

}  // namespace lockstep::app
