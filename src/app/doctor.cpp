#include "lockstep/doctor/doctor.h"

#include <filesystem>
#include <memory>

#include "app/commands.h"
#include "app/version.h"
#include "lockstep/config/run.h"
#include "lockstep/core/log.h"

namespace lockstep::app {
namespace {

struct DoctorOptions {
  std::string file, folder;
  std::vector<std::string> overrides;
};

// The first folder on the way up that is there.
std::string existing(std::filesystem::path folder) {
  std::error_code ignored;
  while (!folder.empty() && !std::filesystem::is_directory(folder, ignored))
    folder = folder.parent_path();
  return folder.empty() ? "." : folder.string();
}

// The first data file, or the folder of a glob.
std::string first_data(const train::Run& run) {
  const auto& names = run.data.dataset.path;
  if (names.empty()) return {};
  const std::string& name = names.front();
  const std::size_t star = name.find_first_of("*?[");
  std::error_code ignored;
  if (star == std::string::npos || std::filesystem::exists(name, ignored)) return name;
  return existing(std::filesystem::path(name.substr(0, star)).parent_path());
}

doctor::Request request_of(const DoctorOptions& options, const train::Run& run) {
  doctor::Request request;
  request.libraries = library_versions();
  request.threads = static_cast<int>(run.run.threads);
  request.cuda = run.run.device != "cpu";
  if (!options.file.empty()) {
    request.lanes = run.train.lanes;
    request.data = first_data(run);
    request.folder = existing(run.checkpoint.dir);
  }
  if (!options.folder.empty()) request.folder = options.folder;
  return request;
}

// Ranks that MPI cannot bring together are a finding, too; each process is alone with it.
comm::Communicator* connect(Ranks& ranks, const train::Run& run) {
  comm::CommOptions options;
  options.watchdog_seconds = run.run.watchdog;
  options.pretend_nodes = run.parallel.pretend_nodes;
  try {
    return &ranks.connect(options);
  } catch (const UserError& error) {
    if (log::speaks()) log::line(fmt::format("fail  launch  {}", error.what()));
    return nullptr;
  }
}

ExitCode doctor_command(const DoctorOptions& options, Context& context) {
  train::Run run;
  if (!options.file.empty()) {
    run = config::read_run(options.file, options.overrides);
  } else if (!options.overrides.empty()) {
    throw UserError("--set needs a run file: lockstep doctor run.toml --set ...");
  }
  comm::Communicator* const communicator = connect(context.ranks, run);
  if (communicator == nullptr) return ExitCode::kNo;
  return doctor::examine(*communicator, request_of(options, run));
}

}  // namespace

void add_doctor(CLI::App& program, Action& action) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App* command = program.add_subcommand(
      "doctor", "Look at launcher, cores, network, files, libraries and devices, in seconds");
  command->add_option("run", options->file, "Run file whose data, folder, threads and device count")
      ->type_name("FILE");
  command
      ->add_option("--folder", options->folder,
                   "Folder whose file system is tried; else the run's checkpoint.dir, or this one")
      ->type_name("DIR");
  add_overrides(*command, options->overrides);
  command->callback([&action, options] {
    action = [options](Context& context) { return doctor_command(*options, context); };
  });
}

}  // namespace lockstep::app
