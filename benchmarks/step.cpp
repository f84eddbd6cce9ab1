// Times whole training steps (forward, backward, fold, AdamW, re-packing) on data in memory,
// without a data reader: what compare_pytorch.py and scaling_step.py alternate with other programs.
//
//   bench_step MODEL LANES [BATCH [PRECISION [RECOMPUTE [DEVICE]]]]
//
// MODEL is one of the table below; BATCH 0 is the model's own; DEVICE is cpu or, as run.device,
// cuda. Reads numbers of steps from standard input, one a line; answers each with the mean seconds
// per step, GFLOP/s and the share of the fp32 peak. Under mpirun every rank computes its lanes;
// rank 0 reads and answers.
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/isa.h"
#include "lockstep/device/cuda.h"
#include "lockstep/parallel/strategy.h"

namespace lockstep {
namespace {

struct Subject {
  nn::PresetOptions preset;
  Shape sample;
  std::int64_t outputs = 10, batch = 128;
  bool tokens = false;
  ops::LossKind loss = ops::LossKind::kSoftmaxCrossEntropy;
};

const std::vector<std::string> kModels{"mlp",   "resnet20", "gpt", "gpt2-124m", "gpt2-124m-1024",
                                       "llama", "cosmoflow"};

Subject subject_of(const std::string& name) {
  Subject s;
  s.preset.preset = name;
  if (name == "mlp") {
    s.preset.hidden = {1024, 1024};
    s.sample = Shape{784};
  } else if (name == "resnet20") {
    s.sample = Shape{32, 32, 3};
  } else if (name == "gpt" || name == "llama") {  // 6 blocks of 384, 6 heads
    s.sample = Shape{256}, s.tokens = true, s.outputs = 4096, s.batch = 8;
    if (name == "llama") s.preset.kv_heads = 2;
  } else if (name == "gpt2-124m") {
    s.sample = Shape{256}, s.tokens = true, s.outputs = 50257, s.batch = 4;
  } else if (name == "gpt2-124m-1024") {
    s.preset.preset = "gpt2-124m";
    s.sample = Shape{1024}, s.tokens = true, s.outputs = 50257, s.batch = 8;
  } else if (name == "cosmoflow") {
    s.sample = Shape{64, 64, 64, 4}, s.outputs = 4, s.batch = 2, s.loss = ops::LossKind::kMse;
  } else {
    throw UserError("bench_step knows {}, not '{}'", fmt::join(kModels, ", "), name);
  }
  return s;
}

struct Settings {
  std::int64_t lanes = 1, batch = 0;
  ops::Precision precision = ops::Precision::kFp32;
  nn::Recompute recompute = nn::Recompute::kNone;
};

nn::ProgramOptions program_options(const Subject& subject, const Settings& settings) {
  nn::ProgramOptions options;
  options.sample = subject.sample;
  options.microbatch = settings.batch / settings.lanes;
  options.outputs = subject.outputs;
  options.loss = subject.loss;
  options.tokens = subject.tokens;
  options.labels = subject.tokens ? subject.sample[0] : 1;
  options.precision = settings.precision;
  options.recompute = settings.recompute;
  return options;
}

parallel::Options parallel_options(const Settings& settings) {
  parallel::Options options;
  options.lanes = settings.lanes;
  return options;
}

class Bench final : public parallel::LaneRunner {
 public:
  Bench(comm::Communicator& communicator, Device& device, const Subject& subject,
        const Settings& settings)
      : program_(device, nn::make_preset(subject.preset, subject.sample, subject.outputs),
                 program_options(subject, settings)),
        strategy_(parallel::make_strategy(communicator, device, program_, options_,
                                          parallel_options(settings))) {
    values_ = program_.options().microbatch * program_.options().sample.elements();
    for (std::int64_t i = 0; i < settings.lanes * values_; ++i) {
      const auto id = static_cast<std::int32_t>(i * 37 % 101);
      batch_.push_back(subject.tokens ? std::bit_cast<float>(id)
                                      : static_cast<float>(id) * 0.02f - 1);
    }
    std::vector<float> first(program_.table().flat_elements());
    program_.table().initialise(1, first.data());
    device.copy(strategy_->state().front().data, first.data(), first.size() * sizeof(float),
                program_.stream(0));
    program_.stream(0).synchronize();
    strategy_->restored();
  }

  double seconds_per_step(int steps) {
    const double start = seconds_now();
    for (int i = 0; i < steps; ++i) strategy_->run(step_++, *this, outcome_);
    return (seconds_now() - start) / steps;
  }

  double flops() const { return program_.flops(); }

  void on_streams(const std::function<void(int)>& work) override { work(0); }
  void run(const parallel::LanePass& pass) override {
    const std::int64_t microbatch = program_.options().microbatch;
    // The arena may reuse the input's place, so it is copied in for each microbatch.
    std::memcpy(program_.input(0), batch_.data() + pass.lane * values_, values_ * sizeof(float));
    for (std::int64_t i = 0; i < microbatch * program_.options().labels; ++i)
      program_.labels(0)[i] = static_cast<std::int32_t>((i + pass.lane) % 10);
    for (std::int64_t i = 0; i < microbatch * program_.options().outputs; ++i)
      program_.targets(0)[i] = static_cast<float>((i + pass.lane) % 10) * 0.1f;
    const RandomKey key{1, static_cast<std::uint64_t>(pass.step),
                        static_cast<std::uint32_t>(pass.lane)};
    program_.train(0, key, *pass.sink, *pass.record);
  }
  void run_together(std::span<const parallel::LanePass> passes) override {
    for (const parallel::LanePass& pass : passes) run(pass);
  }
  parallel::Requests requests() override { return {}; }

 private:
  const optim::Options options_;
  nn::Program program_;
  const std::unique_ptr<parallel::Strategy> strategy_;
  std::vector<parallel::StepOutcome> outcome_{1};
  std::int64_t step_ = 0;
  std::int64_t values_ = 0;   // of one microbatch
  std::vector<float> batch_;  // all lanes' samples; token numbers as their bits
};

int run(int argc, char** argv) {
  if (argc < 3)
    throw UserError(
        "usage: bench_step MODEL LANES [BATCH [PRECISION [RECOMPUTE [DEVICE]]]]; MODEL: {}",
        fmt::join(kModels, ", "));
  const Subject subject = subject_of(argv[1]);
  Settings settings;
  settings.lanes = std::atol(argv[2]);
  settings.batch = argc > 3 ? std::atol(argv[3]) : 0;
  if (settings.batch == 0) settings.batch = subject.batch;
  if (settings.lanes < 1 || settings.batch % settings.lanes != 0)
    throw UserError("{} lanes do not divide a batch of {}", settings.lanes, settings.batch);
  if (argc > 4) settings.precision = ops::precision_from(argv[4]);
  if (argc > 5) settings.recompute = nn::recompute_from(argv[5]);
  set_float_environment();
  const auto communicator = comm::make_communicator({});
  std::unique_ptr<Device> cuda;
  if (argc > 6 && std::string_view(argv[6]) != "cpu") {
    const comm::Topology& topology = communicator->topology();
    cuda = make_cuda_device({argv[6], topology.local(), topology.local_ranks(),
                             fmt::format("rank {}", communicator->rank())});
  }
  Bench bench(*communicator, cuda ? *cuda : cpu_device(), subject, settings);
  const double peak = measure_fma_peak();
  for (int steps = 0;;) {
    if (communicator->rank() == 0 && !(std::cin >> steps)) steps = 0;
    comm::broadcast_value(*communicator, steps);
    if (steps <= 0) return 0;
    const double seconds = bench.seconds_per_step(steps);
    const double flops = bench.flops() * static_cast<double>(settings.lanes);
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
