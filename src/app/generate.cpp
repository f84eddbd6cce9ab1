#include "lockstep/serve/generate.h"

#include <memory>
#include <string>
#include <vector>

#include "app/commands.h"
#include "app/load_run.h"
#include "lockstep/config/run.h"
#include "lockstep/core/files.h"
#include "lockstep/core/log.h"
#include "lockstep/train/checkpoint.h"

namespace lockstep::app {
namespace {

struct GenerateOptions {
  std::string checkpoint, prompt_file;
  std::vector<std::string> overrides;
  serve::GenerateRequest request;
  bool greedy = false, best = false;
};

// CLI11's own checks of this kind say their bounds in 300 digits.
CLI::Validator whole_number_from(std::int64_t least) {
  const auto complaint = [least](const std::string& text) {
    std::int64_t value = 0;
    const bool fits = CLI::detail::lexical_cast(text, value) && value >= least;
    return fits ? "" : fmt::format("{} is not a whole number from {} up", text, least);
  };
  return {complaint, ""};
}

ExitCode generate_command(GenerateOptions options, Context& context) {
  const Loaded loaded =
      load_run(context.ranks, "the run of " + options.checkpoint, [&](Loaded& mine) {
        mine.source = find_checkpoint(options.checkpoint, options.best);
        const std::string toml = train::read_checkpoint_text(mine.source).resolved_run;
        mine.run = config::parse_run(toml, "the run in " + mine.source, options.overrides);
        if (!options.prompt_file.empty()) options.request.prompt = read_file(options.prompt_file);
      });
  options.request.checkpoint = loaded.source;
  options.request.echo = !log::quiet();
  if (options.greedy) options.request.sampling.temperature = 0;
  serve::run_generation(*loaded.communicator, loaded.run, options.request, stdout);
  return ExitCode::kDone;
}

}  // namespace

void add_generate(CLI::App& program, Action& action) {
  auto options = std::make_shared<GenerateOptions>();
  serve::GenerateRequest& r = options->request;
  CLI::App* command = program.add_subcommand(
      "generate", "Go on with a text by a model that was trained on text");
  command
      ->add_option("checkpoint,--checkpoint", options->checkpoint,
                   "Checkpoint, or a folder: its newest one")
      ->required()
      ->type_name("FILE");
  command->add_flag("--best", options->best, "Of a folder, the best checkpoint");
  auto* prompt = command->add_option("--prompt", r.prompt,
                                     "Text to go on with; printed too, unless --quiet is given")
                     ->type_name("TEXT");
  command->add_option("--prompt-file", options->prompt_file, "The same from a file, as it stands")
      ->type_name("FILE")
      ->excludes(prompt);
  command->add_option("--tokens", r.tokens, "At most so many tokens; fewer if the context is full")
      ->check(whole_number_from(1))
      ->type_name("NUMBER")
      ->capture_default_str();
  auto* temperature =
      command
          ->add_option("--temperature", r.sampling.temperature,
                       "Divides the logits: below 1 the probable becomes more so; 0 is --greedy")
          ->type_name("NUMBER")
          ->capture_default_str();
  command
      ->add_option("--top-k", r.sampling.top_k, "Draw from the k most probable tokens; 0: from all")
      ->type_name("NUMBER")
      ->capture_default_str();
  command
      ->add_option("--top-p", r.sampling.top_p,
                   "Of those, the fewest that hold this probability together")
      ->type_name("NUMBER")
      ->capture_default_str();
  command->add_option("--seed", r.sampling.seed, "The same seed and prompt give the same text")
      ->check(whole_number_from(0))
      ->type_name("NUMBER")
      ->capture_default_str();
  command->add_flag("--greedy", options->greedy, "Always the most probable token")
      ->excludes(temperature);
  add_overrides(*command, options->overrides);
  command->callback([&action, options] {
    action = [options](Context& context) { return generate_command(*options, context); };
  });
}

}  // namespace lockstep::app
