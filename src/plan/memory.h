// The memory of a run on ranks that are not there.
#pragma once
#include <functional>
#include <vector>

#include "lockstep/data/dataset.h"
#include "lockstep/plan/job.h"

namespace lockstep::plan {

// Job::memory. The run and the manifest need not outlive it. Throws what the run would.
std::function<std::vector<nn::LedgerRow>(const Layout&, const parallel::Options&)> memory_of(
    const train::Run& run, const data::Manifest& manifest);

}  // namespace lockstep::plan
