// A dataset whose input tells its row, and drivers of a Loader for the tests.
#pragma once
#include <cstdint>
#include <vector>

#include "files.h"
#include "lockstep/comm/communicator.h"
#include "lockstep/data/loader.h"

namespace lockstep::data::testing {

// The process's communicator: MPI under mpirun, self otherwise.
comm::Communicator& world();

// Imports a CSV of `samples` rows {row, row squared mod 97} with label row mod 5, no val split.
Manifest numbered_rows(const fs::path& folder, std::int64_t samples, std::int64_t chunk_rows,
                       int deflate);

LoaderOptions options_for(std::int64_t lanes, std::int64_t accumulate, std::int64_t microbatch,
                          std::int64_t window);

// The rows that a lane gets over `steps` steps from `at`; checks label and second column.
std::vector<std::int64_t> take(Loader& loader, const LoaderOptions& options, std::int64_t lane,
                               Position at, std::int64_t steps);

// The same from lane_order(), through the ends of epochs.
std::vector<std::int64_t> expected(std::int64_t samples, std::int64_t chunk,
                                   const LoaderOptions& options, std::int64_t lane, Position at,
                                   std::int64_t steps);

Position after(Position at, std::int64_t steps, std::int64_t steps_per_epoch);

}  // namespace lockstep::data::testing
