#include "app/load_run.h"

#include <exception>

#include "lockstep/config/run.h"
#include "lockstep/core/isa.h"

namespace lockstep::app {

Loaded load_run(Ranks& ranks, const std::string& what, const std::function<void(Loaded&)>& read) {
  Loaded loaded;
  std::exception_ptr failure;
  try {
    read(loaded);
  } catch (const Error&) {
    failure = std::current_exception();
  }
  comm::CommOptions options;  // of a run that could not be read: the defaults, to say so everywhere
  if (!failure) {
    options.watchdog_seconds = loaded.run.run.watchdog;
    options.pretend_nodes = loaded.run.parallel.pretend_nodes;
    options.threads = static_cast<int>(loaded.run.run.threads);
    // A device's fold is moved by its own thread.
    if (loaded.run.run.device == "cpu") options.progress = loaded.run.run.progress;
  }
  loaded.communicator = &ranks.connect(options);
  loaded.communicator->together([&] {
    if (failure) std::rethrow_exception(failure);
  });
  ranks.require_same(loaded.source + "\n" + config::resolved_toml(loaded.run), what);
  if (loaded.run.run.isa != "auto") cap_isa(isa_from(loaded.run.run.isa));
  return loaded;
}

}  // namespace lockstep::app
