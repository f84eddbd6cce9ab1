// Times whole training steps (forward, backward, fold, AdamW, re-packing) on data in memory,
// without a data reader: what compare_pytorch.py and scaling_step.py alternate with other programs.
//
//   bench_step MODEL LANES [BATCH]     MODEL: mlp (784-1024-1024-10) or resnet20 (32x32x3)
//
// Reads numbers of steps from standard input, one a line; answers each with the mean seconds per
// step. Under mpirun every rank computes its lanes; rank 0 reads and answers.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/isa.h"
#include "lockstep/parallel/replicated.h"

namespace lockstep {
namespace {

struct Subject {
  nn::PresetOptions preset;
  Shape sample;
};

Subject subject_of(const std::string& name) {
  Subject s;
  s.preset.preset = name;
  s.preset.hidden = {1024, 1024};
  if (name == "mlp") s.sample = Shape{784};
  if (name == "resnet20") s.sample = Shape{32, 32, 3};
  if (s.sample.rank() == 0) throw UserError("bench_step knows mlp and resnet20, not '{}'", name);
  return s;
}

class Bench {
 public:
  Bench(comm::Communicator& communicator, const Subject& subject, std::int64_t lanes,
        std::int64_t batch)
      : program_(cpu_device(), nn::make_preset(subject.preset, subject.sample, 10),
                 {subject.sample, batch / lanes, 10, ops::LossKind::kSoftmaxCrossEntropy, {}, 1}),
        flat_(
            cpu_device().allocate(program_.table().flat_elements() * sizeof(float), "parameters")),
        optimizer_(program_.table(), options_, cpu_device()),
        strategy_(communicator, program_, flat_.as<float>(), optimizer_, options_, {lanes}) {
    values_ = program_.options().microbatch * program_.options().sample.elements();
    for (std::int64_t i = 0; i < lanes * values_; ++i)
      batch_.push_back(static_cast<float>(i * 37 % 101) * 0.02f - 1);
    program_.table().initialise(1, flat_.as<float>());
    program_.bind(flat_.as<float>());
    program_.pack();
  }

  double seconds_per_step(int steps) {
    const double start = seconds_now();
    for (int i = 0; i < steps; ++i) step();
    return (seconds_now() - start) / steps;
  }

  double flops() const { return program_.flops(); }

 private:
  void step() {
    const comm::LaneRange lanes = strategy_.lanes(0);
    const std::int64_t microbatch = program_.options().microbatch;
    for (std::int64_t lane = lanes.begin; lane < lanes.end; ++lane) {
      // The arena may reuse the input's place, so it is copied in for each microbatch.
      std::memcpy(program_.input(0), batch_.data() + lane * values_, values_ * sizeof(float));
      for (std::int64_t i = 0; i < microbatch; ++i)
        program_.labels(0)[i] = static_cast<std::int32_t>((i + lane) % 10);
      parallel::StepRecord record;
      const RandomKey key{1, static_cast<std::uint64_t>(step_), static_cast<std::uint32_t>(lane)};
      program_.train(0, key, strategy_.begin(0, lane, 0), record.lane);
      strategy_.set_record(lane, record);
    }
    strategy_.finish(step_++);
    program_.pack();
  }

  const optim::Options options_;
  nn::Program program_;
  Buffer flat_;
  optim::Optimizer optimizer_;
  parallel::Replicated strategy_;
  std::int64_t step_ = 0;
  std::int64_t values_ = 0;   // of one microbatch
  std::vector<float> batch_;  // all lanes' samples
};

int run(int argc, char** argv) {
  if (argc < 3) throw UserError("usage: bench_step MODEL LANES [BATCH]");
  const std::int64_t lanes = std::atol(argv[2]), batch = argc > 3 ? std::atol(argv[3]) : 128;
  set_float_environment();
  const auto communicator = comm::make_communicator({});
  Bench bench(*communicator, subject_of(argv[1]), lanes, batch);
  const double peak = measure_fma_peak();
  for (int steps = 0;;) {
    if (communicator->rank() == 0 && !(std::cin >> steps)) steps = 0;
    comm::broadcast_value(*communicator, steps);
    if (steps <= 0) return 0;
    const double seconds = bench.seconds_per_step(steps);
    const double flops = bench.flops() * static_cast<double>(lanes);
    if (communicator->rank() == 0) {
      std::printf("%.9f %.1f %.3f\n", seconds, flops / seconds * 1e-9,
                  flops / seconds / (peak * communicator->size()));
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
