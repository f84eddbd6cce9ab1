// This machine as the plan takes it, part by part.
#include <fmt/chrono.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <utility>

#include "bench/calibrate_parts.h"
#include "bench/rank_device.h"
#include "bench/rates.h"
#include "lockstep/core/error.h"
#include "lockstep/core/host.h"
#include "lockstep/core/isa.h"
#include "lockstep/core/memory.h"
#include "lockstep/device/device.h"
#include "lockstep/plan/machine_keys.h"

namespace lockstep::bench {
namespace {

void describe_cpu(plan::Device& device) {
  device.name = fmt::format("{}, {}", cpu_model(), name_of(isa()));
  device.kind = "cpu";
  device.per_node = sysconf(_SC_NPROCESSORS_ONLN);
  device.threads = 1;
  device.memory = static_cast<double>(memory_limit().bytes);
}

// The least and the most that each kernel reached at the sizes that were tried.
void add_rate_rows(Calibration& found) {
  struct Extent {
    int sizes = 0;
    double least = 0, most = 0;
  };
  std::map<std::pair<std::string, std::string>, Extent> kernels;
  for (const plan::KernelRate& rate : found.machine.device.rates) {
    if (rate.kernel == "fold" || rate.forward <= 0) continue;
    Extent& extent = kernels[{rate.kernel, rate.precision}];
    extent.least = extent.sizes == 0 ? rate.forward : std::min(extent.least, rate.forward);
    extent.most = std::max(extent.most, rate.forward);
    ++extent.sizes;
  }
  for (const auto& [name, extent] : kernels) {
    Row row{"kernel rates", name.first + " " + name.second, {}, "-", 0, {}};
    row.figures = {{"sizes", "", static_cast<double>(extent.sizes)},
                   {"least", "/s", extent.least},
                   {"most", "/s", extent.most}};
    found.results.rows.push_back(std::move(row));
  }
}

// Matrix products of bf16 factors may exceed what multiply-adds of fp32 give.
void find_peak_of_bf16(plan::Device& device) {
  if (device.bf16 > 0) return;
  device.bf16 = device.fp32;
  for (const plan::KernelRate& rate : device.rates) {
    const bool counts_flops = rate.kernel == "linear" || rate.kernel == "convolution";
    if (counts_flops && rate.precision == "bf16")
      device.bf16 = std::max({device.bf16, rate.forward, rate.backward});
  }
}

// All that was found is from here and now.
void cite(comm::Communicator& communicator, const Request& request, plan::Machine& machine) {
  const std::string host = comm::broadcast_text(communicator, host_name());
  const std::string source = comm::broadcast_text(
      communicator,
      fmt::format(
          "measured by lockstep {} bench calibrate on {}, {:%Y-%m-%d}, {} ranks on {} nodes",
          request.version, host, fmt::gmtime(std::time(nullptr)), communicator.size(),
          communicator.topology().nodes()));
  machine.name = host;
  for (const std::string& figure : plan::figures_of(machine)) {
    // "device.fp32" by its table: one line a table reads better than forty.
    const std::size_t dot = figure.find('.');
    const std::size_t end = figure.starts_with("levels.") ? figure.find('.', dot + 1) : dot;
    machine.sources[figure.substr(0, end)] = source;
  }
}

}  // namespace

Calibration calibrate(comm::Communicator& communicator, const Request& request) {
  communicator.set_activity("measuring this machine", 0);
  Calibration found;
  const std::unique_ptr<Device> device = open_device(communicator, request.device);
  found.results.title = "calibrate";
  found.results.facts = machine_facts(communicator, device ? *device : cpu_device());
  measure_files(communicator, request, found);  // first: a folder that cannot be written in
  if (device) {
    measure_cuda(communicator, request, *device, found);
  } else {
    describe_cpu(found.machine.device);
    measure_compute_and_memory(communicator, request, found);
  }
  measure_levels(communicator, request, found);
  measure_adding(communicator, request, found);
  measure_kernel_rates(communicator, request, found.machine.device);
  add_rate_rows(found);
  find_peak_of_bf16(found.machine.device);
  cite(communicator, request, found.machine);
  return found;
}

}  // namespace lockstep::bench
