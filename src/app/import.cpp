#include "lockstep/data/import.h"

#include <cstdio>
#include <memory>

#include "app/commands.h"
#include "app/version.h"
#include "lockstep/core/clock.h"
#include "lockstep/core/log.h"

namespace lockstep::app {
namespace {

constexpr int kMostFiles = 1 << 20;
// A rank may be busy with its part of a large file for long; nobody waits for a step here.
constexpr double kPatience = 6 * 3600;  // seconds

struct ImportCommand {
  data::ImportOptions options;
  std::vector<std::string> train, val, test;
  std::string out, append, target_kind = "class", alpha = "refuse";
};

// A line that rewrites itself, once a second at most; on a terminal only.
class ShownProgress {
 public:
  void operator()(double fraction) {
    const double now = seconds_now();
    if (!shows_ || (fraction < 1 && now - said_ < 1)) return;
    said_ = now;
    std::fprintf(stderr, "\rimporting: %3.0f %%%s", 100 * fraction, fraction >= 1 ? "\n" : "");
  }

 private:
  bool shows_ = !log::quiet() && log::is_terminal(stderr);
  double said_ = seconds_now();  // what takes less than a second says nothing but its end
};

ExitCode import_command(ImportCommand command, Context& context) {
  data::ImportOptions& o = command.options;
  o.train.assign(command.train.begin(), command.train.end());
  o.val.assign(command.val.begin(), command.val.end());
  o.test.assign(command.test.begin(), command.test.end());
  o.out = command.out;
  o.append = command.append;
  o.command = context.command_line;
  o.version = version_number();
  o.target_is_class = command.target_kind == "class";
  o.drop_alpha = command.alpha == "drop";
  if (data::import_format(o) == "text") {  // by one rank
    if (!context.ranks.alone_in_charge()) return ExitCode::kDone;
    data::import_dataset(o, ShownProgress());
  } else {
    comm::Communicator& ranks = context.ranks.connect({.watchdog_seconds = kPatience});
    data::import_dataset(ranks, o, ShownProgress());
    if (ranks.rank() != 0) return ExitCode::kDone;
  }
  if (!log::quiet()) log::line(data::inspect_text(o.out));
  return ExitCode::kDone;
}

void add_files(CLI::App& app, ImportCommand& command) {
  data::ImportOptions& o = command.options;
  app.add_option("--format", o.format,
                 "idx, csv, tsv, npy, npz, png, netcdf, jsonl, raw or text; guessed from the names "
                 "if absent")
      ->check(CLI::IsMember(
          {"idx", "csv", "tsv", "npy", "npz", "png", "netcdf", "jsonl", "raw", "text"}))
      ->type_name("NAME");
  app.add_option("--train", command.train,
                 "idx: images and labels; npy: samples, and targets if there are any; csv, npz, "
                 "jsonl: one file; png: one folder; raw, netcdf, text: any number, in order")
      ->required()
      ->expected(1, kMostFiles)
      ->type_name("FILE");
  app.add_option("--val", command.val, "text: files of the validation split")
      ->expected(1, kMostFiles)
      ->type_name("FILE");
  app.add_option("--test", command.test, "The same for the test split")
      ->expected(1, kMostFiles)
      ->type_name("FILE");
  app.add_option("--append", command.append,
                 "Dataset file that the new samples are put behind: --out is its next version, "
                 "which shares its chunks")
      ->type_name("FILE");
  app.add_option("-o,--out", command.out, "Dataset file to write (HDF5)")
      ->required()
      ->type_name("FILE");
  app.add_option("--val-fraction", o.val_fraction,
                 "Part of the training samples for validation; text: the end of each file")
      ->check(CLI::Range(0.0, 0.99))
      ->type_name("NUMBER")
      ->capture_default_str();
  app.add_option("--test-fraction", o.test_fraction,
                 "Part for the test split, if --test is not given")
      ->check(CLI::Range(0.0, 0.99))
      ->type_name("NUMBER")
      ->capture_default_str();
  app.add_option("--seed", o.seed, "Chooses the samples of these parts; not used for text")
      ->type_name("NUMBER")
      ->capture_default_str();
  app.add_option("--chunk-bytes", o.chunk_bytes, "Size of a chunk, in bytes")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 31))
      ->type_name("NUMBER")
      ->capture_default_str();
  app.add_option("--deflate", o.deflate, "Compression, 1 to 9; 0: none")
      ->check(CLI::Range(0, 9))
      ->type_name("NUMBER")
      ->capture_default_str();
  app.add_flag("--overwrite", o.overwrite, "Replace the file if it exists");
}

void add_fields(CLI::App& app, ImportCommand& command) {
  data::ImportOptions& o = command.options;
  app.add_option("--input", o.inputs,
                 "Columns (csv), members (npz), variables (netcdf), keys (jsonl) or a field (raw) "
                 "that are inputs; if absent, those of numbers or of a usual name")
      ->expected(1, kMostFiles)
      ->type_name("NAME");
  app.add_option(
         "--target", o.target,
         "The column, member, variable, key or field that is the target; if absent, the last "
         "column, or one of a usual name")
      ->type_name("NAME");
  app.add_option("--target-kind", command.target_kind, "class (numbers or names) or value")
      ->check(CLI::IsMember({"class", "value"}))
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option(
         "--missing", o.missing,
         "What becomes of missing numbers (empty cells, NaN, null, fill values): error, drop "
         "(the sample), mean (of the train split) or a number")
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--missing-cells", o.missing_cells,
                 "csv, jsonl: the texts that are missing numbers, separated by commas; if absent, "
                 "an empty cell, NA, N/A, NaN, null, None and ?")
      ->delimiter(',')
      ->type_name("TEXT");
}

void add_formats(CLI::App& app, ImportCommand& command) {
  data::ImportOptions& o = command.options;
  app.add_option("--separator", o.separator,
                 "csv: the character between cells, or comma, tab or semicolon; if absent, the one "
                 "that the header has most of")
      ->type_name("TEXT");
  app.add_option("--type", o.type,
                 "raw: of the elements (u8, f32, ...); jsonl: of the numbers (f32)")
      ->type_name("NAME");
  app.add_option("--shape", o.shape, "raw: of a sample, such as 3,32,32; a number if absent")
      ->type_name("NUMBERS");
  app.add_option("--record", o.record,
                 "raw: the fields of a sample one behind another, instead of --type and --shape: "
                 "\"label:u8 image:u8:3x32x32\"")
      ->type_name("TEXT");
  app.add_option("--order", o.order, "raw: of the bytes of a number, little or big")
      ->check(CLI::IsMember({"little", "big"}))
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--skip", o.skip, "raw: bytes before the first sample of each file")
      ->check(CLI::NonNegativeNumber)
      ->type_name("NUMBER")
      ->capture_default_str();
  app.add_option("--alpha", command.alpha, "png: refuse transparent pixels, or drop their alpha")
      ->check(CLI::IsMember({"refuse", "drop"}))
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--tokenizer", o.tokenizer,
                 "text: bytes, bpe (learnt from the train split), or a SentencePiece model's file")
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--vocabulary", o.vocabulary, "text: number of tokens that bpe learns")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24))
      ->type_name("NUMBER")
      ->capture_default_str();
}

}  // namespace

void add_import(CLI::App& program, Action& action) {
  auto command = std::make_shared<ImportCommand>();
  CLI::App* app = program.add_subcommand(
      "import", "Make a dataset file from IDX, CSV, NumPy, PNG, NetCDF, JSON, raw or text files");
  add_files(*app, *command);
  add_fields(*app, *command);
  add_formats(*app, *command);
  app->callback([&action, command] {
    action = [command](Context& context) { return import_command(*command, context); };
  });
}

}  // namespace lockstep::app
