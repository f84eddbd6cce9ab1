#include "app/ranks.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "lockstep/core/fault.h"
#include "lockstep/core/log.h"

namespace lockstep::app {
namespace {

// How long a rank with an error waits for rank 0 to say the same one and end the job.
constexpr auto kPatience = std::chrono::seconds(1);
// How long the launcher gets to pass a sentence on before its own words about the end of the job.
constexpr auto kForwarding = std::chrono::milliseconds(50);

int rank_from_launcher() {
  if (!comm::launched_by_mpi()) return 0;
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    if (const char* value = std::getenv(name)) return std::atoi(value);
  }
  return 0;
}

ExitCode code_of(const std::exception& error) {
  const auto* known = dynamic_cast<const Error*>(&error);
  return known != nullptr ? known->code() : ExitCode::kBug;
}

std::string sentence_of(const std::exception& error) {
  if (dynamic_cast<const Error*>(&error) != nullptr) return error.what();
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return "out of memory";
  return fmt::format("this is a bug in lockstep: {}", error.what());
}

}  // namespace

Ranks::Ranks() : launcher_rank_(rank_from_launcher()) { log::set_speaker(launcher_rank_ == 0); }

comm::Communicator& Ranks::connect(const comm::CommOptions& options) {
  connecting_ = true;
  communicator_ = comm::make_communicator(options);
  log::set_speaker(communicator_->rank() == 0);
  if (const char* text = std::getenv("LOCKSTEP_FAULT")) fault::arm(text, communicator_->rank());
  fault::pass("start", -1);
  return *communicator_;
}

void Ranks::require_same(const std::string& text, const std::string& what) {
  const std::string first = comm::broadcast_text(*communicator_, text);
  communicator_->together([&] {
    if (text == first) return;
    throw UserError("{} is not the same on rank {} as on rank 0; put it where all nodes see it",
                    what, communicator_->rank());
  });
}

int Ranks::fail(const std::exception& error) {
  const ExitCode code = code_of(error);
  const std::string sentence = sentence_of(error);
  const bool others =
      communicator_ ? communicator_->size() > 1 : connecting_ && comm::launched_by_mpi();
  if (others) fail_among_ranks(code, sentence);
  // Before MPI the same mistake is found by every process; only the first has anything to say. The
  // others leave with 0: a launcher that saw them fail could end the first before it has spoken.
  if (!alone_in_charge()) return 0;
  log::error(sentence);
  return static_cast<int>(code);
}

// Whether the others have the same error cannot be asked, for they may be in any collective. So
// rank 0 speaks and ends the job; another rank speaks only if nobody ended it for a while.
void Ranks::fail_among_ranks(ExitCode code, const std::string& sentence) {
  const int rank = communicator_ ? communicator_->rank() : launcher_rank_;
  if (rank == 0) {
    log::error(sentence);
    std::this_thread::sleep_for(kForwarding);
  } else {
    // The launcher ends a job by TERM, which in training asks for a checkpoint: there is none to
    // make.
    std::signal(SIGTERM, SIG_DFL);
    std::this_thread::sleep_for(kPatience);
    // Ranks that could not be connected at all have the same reason, and rank 0 has said it.
    if (communicator_ || code != ExitCode::kUser) {
      log::error(fmt::format("rank {}: {}", rank, sentence));
    }
  }
  comm::abort_all(static_cast<int>(code));
}

}  // namespace lockstep::app
