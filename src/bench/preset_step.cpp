#include "bench/preset_step.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/train/checkpoint.h"
#include "train/host_tensors.h"

namespace lockstep::bench {
namespace {

struct Subject {
  nn::PresetOptions preset;
  Shape sample;
  std::int64_t outputs = 10, batch = 128;
  bool tokens = false;
  ops::LossKind loss = ops::LossKind::kSoftmaxCrossEntropy;
};

Subject subject_of(const std::string& name) {
  Subject s;
  s.preset.preset = name;
  if (name == "mlp") {
    s.preset.hidden = {1024, 1024};
    s.sample = Shape{784};
  } else if (name == "lenet") {
    s.sample = Shape{28, 28};
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
    throw UserError("there is no model '{}' to step; these are {}", name,
                    fmt::join(preset_models(), ", "));
  }
  return s;
}

nn::ProgramOptions program_options(const Subject& subject, const PresetSettings& settings) {
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

parallel::Options parallel_options(const PresetSettings& settings) {
  parallel::Options options;
  options.lanes = settings.lanes;
  return options;
}

}  // namespace

const std::vector<std::string>& preset_models() {
  static const std::vector<std::string> models{
      "mlp", "lenet", "resnet20", "gpt", "gpt2-124m", "gpt2-124m-1024", "llama", "cosmoflow"};
  return models;
}

PresetSettings complete(PresetSettings settings) {
  const Subject subject = subject_of(settings.model);
  if (settings.batch == 0) settings.batch = subject.batch;
  if (settings.lanes == 0) settings.lanes = std::gcd(std::int64_t{8}, settings.batch);
  if (settings.lanes < 1 || settings.batch % settings.lanes != 0)
    throw UserError("{} lanes do not divide a batch of {}", settings.lanes, settings.batch);
  return settings;
}

class PresetStep::Runner final : public parallel::LaneRunner {
 public:
  Runner(comm::Communicator& ranks, Device& device, const PresetSettings& settings)
      : communicator(ranks),
        subject(subject_of(settings.model)),
        program(device, nn::make_preset(subject.preset, subject.sample, subject.outputs),
                program_options(subject, settings)),
        strategy(
            parallel::make_strategy(ranks, device, program, options, parallel_options(settings))),
        host(device, program.stream(0)),
        lanes(settings.lanes) {
    values_ = program.options().microbatch * program.options().sample.elements();
    for (std::int64_t i = 0; i < lanes * values_; ++i) {
      const auto id = static_cast<std::int32_t>(i * 37 % 101);
      batch_.push_back(subject.tokens ? std::bit_cast<float>(id)
                                      : static_cast<float>(id) * 0.02f - 1);
    }
    for (const parallel::StateTensor& tensor : strategy->state())
      host.add(tensor, program.table().flat_elements());
    program.table().initialise(1, host.tensors().front().data);
    host.store();
    strategy->restored();
  }

  void on_streams(const std::function<void(int)>& work) override { work(0); }
  void run(const parallel::LanePass& pass) override {
    const std::int64_t microbatch = program.options().microbatch;
    // The arena may reuse the input's place, so it is copied in for each microbatch.
    std::memcpy(program.input(0), batch_.data() + pass.lane * values_, values_ * sizeof(float));
    for (std::int64_t i = 0; i < microbatch * program.options().labels; ++i)
      program.labels(0)[i] = static_cast<std::int32_t>((i + pass.lane) % 10);
    for (std::int64_t i = 0; i < microbatch * program.options().outputs; ++i)
      program.targets(0)[i] = static_cast<float>((i + pass.lane) % 10) * 0.1f;
    const RandomKey key{1, static_cast<std::uint64_t>(pass.step),
                        static_cast<std::uint32_t>(pass.lane)};
    program.train(0, key, *pass.sink, *pass.record);
  }
  void run_together(std::span<const parallel::LanePass> passes) override {
    for (const parallel::LanePass& pass : passes) run(pass);
  }
  parallel::Requests requests() override { return {}; }

  comm::Communicator& communicator;
  const Subject subject;
  const optim::Options options;
  nn::Program program;
  const std::unique_ptr<parallel::Strategy> strategy;
  train::HostTensors host;
  const std::int64_t lanes;
  std::vector<parallel::StepOutcome> outcome{1};
  std::int64_t step = 0;
  double seconds = 0;  // in steps

 private:
  std::int64_t values_ = 0;   // of one microbatch
  std::vector<float> batch_;  // all lanes' samples; token numbers as their bits
};

PresetStep::PresetStep(comm::Communicator& communicator, Device& device,
                       const PresetSettings& settings)
    : runner_(std::make_unique<Runner>(communicator, device, settings)) {}
PresetStep::~PresetStep() = default;

void PresetStep::step() {
  const ScopedTimer timer(runner_->seconds);
  runner_->strategy->run(runner_->step++, *runner_, runner_->outcome);
}

void PresetStep::settle() { runner_->program.stream(0).synchronize(); }

Hash128 PresetStep::digest() {
  runner_->host.fetch();
  train::Progress progress;
  progress.integers["step"] = runner_->step;
  return train::digest(runner_->communicator,
                       {&runner_->program.table(), runner_->host.tensors(), progress});
}

train::StepTimes PresetStep::times() const {
  const comm::FoldCounters& counters = runner_->strategy->counters();
  train::StepTimes times;
  times.total = runner_->seconds;
  times.exposed = counters.wait.exposed;
  times.hidden = counters.wait.hidden;
  times.fold = counters.fold_seconds;
  times.compute = std::max(0.0, times.total - times.exposed - times.fold);
  return times;
}

std::int64_t PresetStep::sequence() const {
  const nn::ProgramOptions& options = runner_->program.options();
  return options.tokens ? options.labels : 0;
}

const nn::Program& PresetStep::program() const { return runner_->program; }

double PresetStep::flops() const {
  return runner_->program.flops() * static_cast<double>(runner_->lanes);
}

}  // namespace lockstep::bench
