// train --trace: one timeline of all that the ranks' threads did, gathered when the run is over. If
// it ends by an error the rings are left, for `lockstep trace`.
#pragma once
#include <filesystem>
#include <memory>

#include "lockstep/nn/program.h"
#include "train/observer.h"

namespace lockstep::train {

// Collective. Throws UserError if the file could not be written.
void check_trace_file(comm::Communicator& communicator, const std::filesystem::path& file);
// Where rings lie while the run goes on, if it has no checkpoint.dir.
std::filesystem::path trace_rings(const std::filesystem::path& file);

std::unique_ptr<Observer> make_trace_file(const Observed& observed, std::filesystem::path file);

}  // namespace lockstep::train
