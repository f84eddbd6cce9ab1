// The newest checkpoint of a folder that can be trusted.
#include "lockstep/core/error.h"
#include "lockstep/core/log.h"
#include "lockstep/train/checkpoint.h"
#include "train/checkpoint_folder.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

// All ranks try the same files, whatever their nodes see of the folder.
std::vector<Saved> shared_list(comm::Communicator& communicator, const fs::path& dir,
                               std::int64_t most) {
  std::vector<std::int64_t> steps;
  std::string names;
  communicator.together([&] {
    if (communicator.rank() != 0) return;
    for (const Saved& saved : list_checkpoints(dir)) {
      if (saved.step > most) continue;
      steps.push_back(saved.step);
      names += saved.file.filename().string() + "/";
    }
  });
  auto count = static_cast<std::int64_t>(steps.size());
  comm::broadcast_value(communicator, count);
  steps.resize(static_cast<std::size_t>(count));
  communicator.broadcast(std::as_writable_bytes(std::span(steps)), 0);
  names = comm::broadcast_text(communicator, names);
  std::vector<Saved> all;
  std::size_t at = 0;
  for (const std::int64_t step : steps) {
    const std::size_t end = names.find('/', at);
    all.push_back({step, dir / names.substr(at, end - at)});
    at = end + 1;
  }
  return all;
}

}  // namespace

Restored read_newest_checkpoint(comm::Communicator& communicator, const fs::path& dir, State& state,
                                std::int64_t most) {
  Restored restored;
  std::string why;  // the newest could not be read
  const std::vector<Saved> all = shared_list(communicator, dir, most);
  for (const Saved& saved : all) {
    try {
      read_checkpoint(communicator, saved.file, state);
    } catch (const DataError& error) {  // the same on all ranks
      if (why.empty()) why = error.what();
      restored.damaged.push_back(saved.file);
      continue;
    }
    restored.file = saved.file;
    if (!restored.damaged.empty())
      log::warn("{}{}; goes on from {}: {} steps are done again", why,
                restored.damaged.size() > 1
                    ? fmt::format(" (and {} older: damaged too)", restored.damaged.size() - 1)
                    : "",
                restored.file.string(), all.front().step - saved.step);
    return restored;
  }
  if (!all.empty())
    throw DataError(
        "none of the {} checkpoints in {} can be read; of the newest: {}. Bring one back from a "
        "copy, or start again in another checkpoint.dir",
        all.size(), dir.string(), why);
  return restored;
}

}  // namespace lockstep::train
