// The error state of the stand-in runtime: of each host thread the last error, of the process the
// failure that no call survives.
#pragma once
#include <driver_types.h>

namespace lockstep::emulation {

// Keeps the error for cudaGetLastError of this thread (unless it is none) and hands it on.
cudaError_t remember(cudaError_t error);
cudaError_t last_error(bool reset);

// As on a device, a failed kernel spoils the process: every later call answers with this error.
cudaError_t failure();                // cudaSuccess: none
void set_failure(cudaError_t error);  // the first one stays

}  // namespace lockstep::emulation
