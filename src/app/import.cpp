#include "lockstep/data/import.h"

#include <unistd.h>

#include <cstdio>
#include <memory>

#include "app/commands.h"
#include "lockstep/core/log.h"

namespace lockstep::app {
namespace {

constexpr int kMostFiles = 1 << 20;

struct ImportCommand {
  data::ImportOptions options;
  std::vector<std::string> train, val, test;
  std::string out, target_kind = "class";
};

// A line that rewrites itself; on a terminal only.
void show_progress(double fraction) {
  std::fprintf(stderr, "\rimporting: %3.0f %%%s", 100 * fraction, fraction >= 1 ? "\n" : "");
}

ExitCode import_command(ImportCommand command, Context& context) {
  if (!context.ranks.alone_in_charge()) return ExitCode::kDone;
  command.options.train.assign(command.train.begin(), command.train.end());
  command.options.val.assign(command.val.begin(), command.val.end());
  command.options.test.assign(command.test.begin(), command.test.end());
  command.options.out = command.out;
  command.options.target_is_class = command.target_kind == "class";
  const bool shows = !log::quiet() && ::isatty(STDERR_FILENO) != 0;
  data::import_dataset(command.options, [shows](double fraction) {
    if (shows) show_progress(fraction);
  });
  if (!log::quiet()) log::line(data::inspect_text(command.options.out));
  return ExitCode::kDone;
}

}  // namespace

void add_import(CLI::App& program, Action& action) {
  auto command = std::make_shared<ImportCommand>();
  data::ImportOptions& o = command->options;
  CLI::App* app =
      program.add_subcommand("import", "Make a dataset file from IDX, CSV or text files");
  app->add_option("--format", o.format, "idx, csv or text; guessed from the names if absent")
      ->check(CLI::IsMember({"idx", "csv", "text"}))
      ->type_name("NAME");
  app->add_option("--train", command->train,
                  "idx: images and labels (.gz too); csv: one file; text: any number, in order")
      ->required()
      ->expected(1, kMostFiles)
      ->type_name("FILE");
  app->add_option("--val", command->val, "text: files of the validation split")
      ->expected(1, kMostFiles)
      ->type_name("FILE");
  app->add_option("--test", command->test, "The same for the test split")
      ->expected(1, kMostFiles)
      ->type_name("FILE");
  app->add_option("-o,--out", command->out, "Dataset file to write (HDF5)")
      ->required()
      ->type_name("FILE");
  app->add_option("--val-fraction", o.val_fraction,
                  "Part of the training samples for validation; text: the end of each file")
      ->check(CLI::Range(0.0, 0.99))
      ->type_name("NUMBER")
      ->capture_default_str();
  app->add_option("--test-fraction", o.test_fraction,
                  "Part for the test split, if --test is not given")
      ->check(CLI::Range(0.0, 0.99))
      ->type_name("NUMBER")
      ->capture_default_str();
  app->add_option("--seed", o.seed, "Chooses the samples of these parts; not used for text")
      ->type_name("NUMBER")
      ->capture_default_str();
  app->add_option("--chunk-bytes", o.chunk_bytes, "Size of a chunk, in bytes")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 31))
      ->type_name("NUMBER")
      ->capture_default_str();
  app->add_option("--deflate", o.deflate, "Compression, 1 to 9; 0: none")
      ->check(CLI::Range(0, 9))
      ->type_name("NUMBER")
      ->capture_default_str();
  app->add_option("--target", o.target, "csv: name of the target column; the last one if absent")
      ->type_name("NAME");
  app->add_option("--target-kind", command->target_kind, "csv: class (numbers or names) or value")
      ->check(CLI::IsMember({"class", "value"}))
      ->type_name("NAME")
      ->capture_default_str();
  app->add_option("--tokenizer", o.tokenizer,
                  "text: bytes, bpe (learnt from the train split), or a SentencePiece model's file")
      ->type_name("NAME")
      ->capture_default_str();
  app->add_option("--vocabulary", o.vocabulary, "text: number of tokens that bpe learns")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24))
      ->type_name("NUMBER")
      ->capture_default_str();
  app->add_flag("--overwrite", o.overwrite, "Replace the file if it exists");
  app->callback([&action, command] {
    action = [command](Context& context) { return import_command(*command, context); };
  });
}

}  // namespace lockstep::app
