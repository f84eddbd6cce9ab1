// The sizes of what a loader takes: one function for the loader itself and for its plan.
#pragma once
#include <span>

#include "lockstep/data/loader_plan.h"
#include "order.h"
#include "samples.h"
#include "unit_cache.h"
#include "window_store.h"

namespace lockstep::data {

// Sets options.window, where the run leaves it open, and returns the cuts that follow from it.
Cuts choose_window(LoaderOptions& options, const Samples& samples);

// Whether samples travel between nodes.
bool exchanges(const comm::Topology& topology, const LoaderOptions& options);
// A window has no more samples than a lane has in an epoch.
SlotLayout window_layout(const comm::Topology& topology, const LoaderOptions& options,
                         const Samples& samples, const Cuts& cuts);
// lanes: by position. options.window is chosen. cache: before it is opened, or null.
LoaderBytes loader_bytes(const comm::Topology& topology, std::span<const std::int64_t> lanes,
                         std::int64_t places, const LoaderOptions& options, const Samples& samples,
                         const Cuts& cuts, const UnitCache* cache);

}  // namespace lockstep::data
