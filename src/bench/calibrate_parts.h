// The parts of a calibration: each measures one thing, fills its figures in, and adds its rows to
// the table. All are collective.
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "lockstep/bench/bench.h"
#include "lockstep/bench/measure.h"
#include "lockstep/device/device.h"

namespace lockstep::bench {

// One rank's figure, by local rank of node 0; every rank gets them.
std::vector<double> on_first_node(comm::Communicator& communicator, double mine);

// Seconds of the calling thread on its processor: other programs do not count. Not collective.
Timing measure_thread(const std::function<void()>& work, double seconds);

// FMA peak of a core, memory bandwidth of a rank, and what ranks keep of both that work at once.
void measure_compute_and_memory(comm::Communicator& communicator, const Request& request,
                                Calibration& out);
// The same of a CUDA device, by its largest product and its copies.
void measure_cuda(comm::Communicator& communicator, const Request& request, Device& device,
                  Calibration& out);
// "fold": two leaves, one of them a neighbour's, are added; and how long a flag takes to be seen.
void measure_adding(comm::Communicator& communicator, const Request& request, Calibration& out);
void measure_levels(comm::Communicator& communicator, const Request& request, Calibration& out);
void measure_files(comm::Communicator& communicator, const Request& request, Calibration& out);

// Bytes of the largest cache of a core; 32 MiB if the system does not say.
std::size_t last_level_cache();

}  // namespace lockstep::bench
