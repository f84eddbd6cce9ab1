// What a CUDA device computes and moves alone.
#include "bench/calibrate_parts.h"
#include "bench/ceilings.h"
#include "lockstep/device/cuda.h"

namespace lockstep::bench {

void measure_cuda(comm::Communicator& communicator, const Request& request, Device& device,
                  Calibration& out) {
  const Ceilings ceilings = measure_ceilings(communicator, device, request.seconds);
  plan::Device& found = out.machine.device;
  found.name = cuda_description(device);
  found.name = found.name.substr(0, found.name.find(", driver"));
  found.kind = "cuda";
  found.per_node = summarise_cuda_devices().devices;
  found.memory = static_cast<double>(cuda_memory(device));
  found.fp32 = ceilings.fp32;
  found.bf16 = ceilings.bf16;
  found.memory_bandwidth = ceilings.bandwidth;
  Row row{"memory and compute", "a device", {}, "-", 0, {}};
  row.figures = {{"fp32", "flop/s", found.fp32},
                 {"bf16", "flop/s", found.bf16},
                 {"copy", "B/s", found.memory_bandwidth}};
  out.results.rows.push_back(std::move(row));
}

}  // namespace lockstep::bench
