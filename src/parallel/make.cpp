// Strategies by name.
#include "lockstep/core/error.h"
#include "parallel/local.h"
#include "parallel/replicated.h"
#include "parallel/server_queue.h"
#include "parallel/server_sync.h"
#include "parallel/sharded.h"

namespace lockstep::parallel {

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::kReplicated:
      return "replicated";
    case Kind::kSharded:
      return "sharded";
    case Kind::kServer:
      return "server";
    case Kind::kLocal:
      return "local";
  }
  return "";
}

std::unique_ptr<Strategy> make_strategy(comm::Communicator& communicator, Device& device,
                                        nn::Program& program,
                                        const optim::Options& optimizer_options,
                                        const Options& options) {
  switch (options.kind) {
    case Kind::kReplicated:
      return std::make_unique<Replicated>(communicator, device, program, optimizer_options,
                                          options);
    case Kind::kSharded:
      return std::make_unique<Sharded>(communicator, device, program, optimizer_options, options);
    case Kind::kServer:
      if (options.mode == ServerMode::kSync)
        return std::make_unique<ServerSync>(communicator, device, program, optimizer_options,
                                            options);
      return std::make_unique<ServerQueue>(communicator, device, program, optimizer_options,
                                           options);
    case Kind::kLocal:
      return std::make_unique<Local>(communicator, device, program, optimizer_options, options);
  }
  LOCKSTEP_CHECK(false, "no such strategy");
}

}  // namespace lockstep::parallel
