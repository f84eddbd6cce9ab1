// Which of the started processes this is, and how it ends: said once, with the documented exit
// code, and without leaving other ranks to wait. Knows nothing of what the commands do.
#pragma once
#include <exception>
#include <memory>
#include <string>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/error.h"

namespace lockstep::app {

class Ranks {
 public:
  Ranks();  // looks at the launcher's environment only; MPI is not touched

  // Whether this process does the work of a command that needs no ranks (help, config, inspect
  // ...). The others have nothing to do and leave with 0.
  bool alone_in_charge() const { return launcher_rank_ == 0; }

  // Starts MPI if a launcher started this process; valid until the end of the program.
  comm::Communicator& connect(const comm::CommOptions& options);

  // Throws on all ranks if text is not the same on all of them; `what` names it in the sentence.
  void require_same(const std::string& text, const std::string& what);

  // The end after an exception: prints its sentence once over all ranks and returns the exit code,
  // or ends the other ranks too.
  int fail(const std::exception& error);

 private:
  [[noreturn]] void fail_among_ranks(ExitCode code, const std::string& sentence);
  int launcher_rank_ = 0;
  bool connecting_ = false;
  std::unique_ptr<comm::Communicator> communicator_;
};

}  // namespace lockstep::app
