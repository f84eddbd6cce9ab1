// Times whole training steps (forward, backward, fold, AdamW, re-packing) on data in memory,
// without a data reader: what compare_pytorch.py and scaling_step.py alternate with other programs.
// `lockstep bench step --preset MODEL` times the same by itself.
//
//   bench_step MODEL LANES [BATCH [PRECISION [RECOMPUTE [DEVICE]]]]
//
// BATCH 0 is the model's own; DEVICE is cpu or, as run.device, cuda. Reads numbers of steps from
// standard input, one a line; answers each with the mean seconds per step, GFLOP/s and the share of
// the fp32 peak. Under mpirun every rank computes its lanes; rank 0 reads and answers.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "bench/preset_step.h"
#include "bench/rank_device.h"
#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/isa.h"

namespace lockstep {
namespace {

int run(int argc, char** argv) {
  if (argc < 3)
    throw UserError(
        "usage: bench_step MODEL LANES [BATCH [PRECISION [RECOMPUTE [DEVICE]]]]; MODEL: {}",
        fmt::join(bench::preset_models(), ", "));
  bench::PresetSettings settings{.model = argv[1], .lanes = std::atol(argv[2])};
  if (settings.lanes < 1) throw UserError("LANES is a number from 1, not '{}'", argv[2]);
  if (argc > 3) settings.batch = std::atol(argv[3]);
  if (argc > 4) settings.precision = ops::precision_from(argv[4]);
  if (argc > 5) settings.recompute = nn::recompute_from(argv[5]);
  settings = bench::complete(settings);
  set_float_environment();
  const auto communicator = comm::make_communicator({});
  const auto cuda = bench::open_device(*communicator, argc > 6 ? argv[6] : "cpu");
  bench::PresetStep step(*communicator, cuda ? *cuda : cpu_device(), settings);
  const double peak = measure_fma_peak();
  for (int steps = 0;;) {
    if (communicator->rank() == 0 && !(std::cin >> steps)) steps = 0;
    comm::broadcast_value(*communicator, steps);
    if (steps <= 0) return 0;
    const double start = seconds_now();
    for (int i = 0; i < steps; ++i) step.step();
    const double seconds = (seconds_now() - start) / steps;
    if (communicator->rank() == 0) {
      std::printf("%.9f %.1f %.3f\n", seconds, step.flops() / seconds * 1e-9,
                  step.flops() / seconds / (peak * communicator->size()));
      std::fflush(stdout);
    }
  }
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  try {
    return lockstep::run(argc, argv);
  } catch (const lockstep::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return static_cast<int>(e.code());
  }
}
