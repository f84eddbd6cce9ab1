#include <filesystem>
#include <memory>

#include "app/commands.h"
#include "app/version.h"
#include "lockstep/config/run.h"
#include "lockstep/core/log.h"
#include "lockstep/data/import.h"
#include "lockstep/data/probe.h"
#include "lockstep/data/quality.h"
#include "lockstep/data/versions.h"
#include "lockstep/train/checkpoint.h"
#include "lockstep/train/usage.h"

namespace lockstep::app {
namespace {

struct InspectOptions {
  std::vector<std::string> files;
  bool check = false, verbose = false, seal = false, quality = false, compare = false,
       probe = false;
  data::QualityOptions quality_options;
  data::DriftLimits limits;
  std::string follow = "folder", out;
};

data::Follow follow_of(const std::string& word) {
  return word == "none"  ? data::Follow::kNone
         : word == "any" ? data::Follow::kAny
                         : data::Follow::kFolder;
}

// The data of a run file, or the files that are named. Each rank reads the run file for itself.
data::Description described(const InspectOptions& options) {
  if (options.files.size() == 1 &&
      std::filesystem::path(options.files.front()).extension() == ".toml")
    return config::read_run(options.files.front(), {}).data.dataset;
  data::Description description;
  description.path = options.files;
  description.follow = follow_of(options.follow);
  return description;
}

ExitCode quality_command(const InspectOptions& options, Context& context) {
  comm::Communicator& communicator = context.ranks.connect({});
  const data::Manifest manifest = data::read_manifest(communicator, described(options));
  const data::Quality quality =
      data::check_quality(communicator, manifest, options.quality_options);
  if (log::speaks()) log::line(quality.text);
  return quality.good ? ExitCode::kDone : ExitCode::kNo;
}

ExitCode compare_command(const InspectOptions& options, Context& context) {
  if (options.files.size() != 2)
    throw UserError("inspect --compare takes two dataset files: those of before, and of now");
  comm::Communicator& communicator = context.ranks.connect({});
  const auto manifest_of = [&](const std::string& file) {
    InspectOptions one = options;
    one.files = {file};
    data::Manifest manifest = data::read_manifest(communicator, described(one));
    data::add_histograms(communicator, manifest);
    return manifest;
  };
  const data::Manifest before = manifest_of(options.files[0]), now = manifest_of(options.files[1]);
  const auto drifts = data::compare(before, now);
  if (log::speaks()) log::line(data::drift_text(drifts, options.limits));
  return data::within(drifts, options.limits) ? ExitCode::kDone : ExitCode::kNo;
}

void say_usage(const std::filesystem::path& folder) {
  for (const std::string& line : train::usage_text(folder)) log::line("  " + line);
}

// One rank may read a large part of a file while the others have done theirs.
comm::Communicator& patient(Context& context) {
  constexpr double kPatience = 6 * 3600;  // seconds
  return context.ranks.connect({.watchdog_seconds = kPatience});
}

ExitCode seal_command(const InspectOptions& options, Context& context) {
  const data::Description description = described(options);
  comm::Communicator& communicator = patient(context);
  std::filesystem::path out = options.out;
  if (out.empty() &&
      (description.path.size() != 1 || !std::filesystem::is_regular_file(description.path.front())))
    throw UserError(
        "say with --out FILE.h5 where the manifest of several files is to be; it is then what "
        "data.path names");
  if (out.empty()) out = data::sidecar_of(description.path.front());
  const std::string id = data::write_sidecar(communicator, description, out,
                                             {"lockstep inspect --seal", version_number()});
  log::info("{}: sealed, id {}", out.string(), id);
  return ExitCode::kDone;
}

// A name of a file, or of a folder of checkpoints; a glob stays as it is.
std::string existing(const std::string& named) {
  if (named.find_first_of("*?[") != std::string::npos && !std::filesystem::exists(named))
    return named;
  if (!std::filesystem::exists(named))
    throw UserError("there is no {}; name a dataset file or a checkpoint", named);
  return std::filesystem::is_directory(named) ? find_checkpoint(named, false) : named;
}

// What is named is shown by one rank. Returns whether it is a dataset.
bool show(InspectOptions& options) {
  for (std::string& named : options.files) named = existing(named);
  const std::string& file = options.files.front();
  if (options.files.size() == 1 && std::filesystem::is_regular_file(file) &&
      std::filesystem::path(file).extension() != ".toml") {
    const std::filesystem::path walked[] = {file};
    data::probe(walked, data::Follow::kFolder, data::Description().probe);
    if (train::is_checkpoint(file)) {
      log::line(train::checkpoint_inspect_text(file));
      say_usage(std::filesystem::path(file).parent_path());
      if (options.check) train::check_checkpoint(file);
      return false;
    }
  }
  log::line(data::inspect_text(described(options), options.verbose));
  return true;
}

ExitCode check_command(InspectOptions options, Context& context) {
  comm::Communicator& communicator = patient(context);
  std::int64_t dataset = 0;
  communicator.together([&] {
    if (communicator.rank() == 0) dataset = show(options) ? 1 : 0;
  });
  std::string compared;
  if (communicator.max(dataset) > 0)
    compared = data::inspect_check(communicator, described(options));
  if (!log::speaks()) return ExitCode::kDone;
  log::line(fmt::format("{}: every value was read and can be trusted", options.files.front()));
  if (!compared.empty()) log::line(compared);
  return ExitCode::kDone;
}

ExitCode inspect_command(const InspectOptions& options, Context& context) {
  if (options.quality) return quality_command(options, context);
  if (options.compare) return compare_command(options, context);
  if (options.seal) return seal_command(options, context);
  if (options.check) return check_command(options, context);
  if (!context.ranks.alone_in_charge()) return ExitCode::kDone;
  if (options.probe) {
    data::walk_metadata(options.files, follow_of(options.follow));
    return ExitCode::kDone;
  }
  InspectOptions shown = options;
  show(shown);
  return ExitCode::kDone;
}

}  // namespace

void add_inspect(CLI::App& program, Action& action) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command =
      program.add_subcommand("inspect", "Show what a dataset file or a checkpoint holds");
  command
      ->add_option("file", options->files,
                   "Dataset files, a run file: its data, a checkpoint, or a folder: its newest "
                   "checkpoint")
      ->required()
      ->type_name("FILE");
  command->add_flag("--check", options->check, "Read everything; stop at what cannot be trusted");
  command->add_flag("--verbose", options->verbose, "Show histograms and channels too");
  command->add_flag("--seal", options->seal,
                    "Read everything once and keep figures, hashes and id of data that other "
                    "programs wrote, in a file beside them");
  command
      ->add_option("--out", options->out, "--seal: the file to write; FILE.lockstep.h5 if absent")
      ->type_name("FILE");
  command->add_flag("--quality", options->quality,
                    "Find values, samples and classes not fit to be learnt from; exit code 1 if "
                    "there are any");
  command
      ->add_option("--rare-class", options->quality_options.rare_class,
                   "--quality: a class with a smaller share of the train split is rare")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("NUMBER")
      ->capture_default_str();
  command->add_flag("--compare", options->compare,
                    "Drift of each field from one dataset file to another; exit code 1 if it is "
                    "past a limit");
  command
      ->add_option("--psi", options->limits.index, "--compare: largest population stability index")
      ->type_name("NUMBER")
      ->capture_default_str();
  command
      ->add_option("--ks", options->limits.distance,
                   "--compare: largest Kolmogorov-Smirnov distance")
      ->type_name("NUMBER")
      ->capture_default_str();
  // What the program starts itself as, before it opens a file (data/probe.h).
  command->add_flag("--probe", options->probe, "Walk the metadata of each file")->group("");
  command->add_option("--follow", options->follow, "--probe: which links")
      ->check(CLI::IsMember({"none", "folder", "any"}))
      ->group("");
  command->callback([&action, options] {
    action = [options](Context& context) { return inspect_command(*options, context); };
  });
}

}  // namespace lockstep::app
