#include "bench/stepper.h"

#include <fmt/format.h>

#include "bench/preset_step.h"
#include "lockstep/core/log.h"

namespace lockstep::bench {
namespace {

constexpr std::int64_t kComparedSteps = 3;

// What a run says of its data at start, it would say for each of many.
class Quiet {
 public:
  Quiet() { log::set_quiet(true); }
  ~Quiet() { log::set_quiet(was_); }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  const bool was_ = log::quiet();
};

class RunStepper final : public Stepper {
 public:
  RunStepper(comm::Communicator& communicator, const train::Run& run) : steps_(communicator, run) {}
  std::int64_t advance() override { return steps_.advance(); }
  void settle() override { steps_.settle(); }
  Hash128 digest() override { return steps_.digest(); }
  train::StepTimes times() const override { return steps_.times(); }
  double flops() const override { return steps_.flops(); }
  std::int64_t sequence() const override { return steps_.sequence(); }

 private:
  train::SteppedRun steps_;
};

class PresetStepper final : public Stepper {
 public:
  PresetStepper(comm::Communicator& communicator, const std::string& device,
                const PresetSettings& settings)
      : device_(open_device(communicator, device)),
        steps_(communicator, device_ ? *device_ : cpu_device(), settings) {}
  std::int64_t advance() override {
    steps_.step();
    return 1;
  }
  void settle() override { steps_.settle(); }
  Hash128 digest() override { return steps_.digest(); }
  train::StepTimes times() const override { return steps_.times(); }
  double flops() const override { return steps_.flops(); }
  std::int64_t sequence() const override { return steps_.sequence(); }

 private:
  const std::unique_ptr<Device> device_;
  PresetStep steps_;
};

StepSubject of_run(const train::Run& run) {
  StepSubject subject;
  subject.lanes = run.train.lanes;
  subject.batch = run.train.batch;
  subject.threads = static_cast<int>(run.run.threads);
  subject.precision = run.train.precision;
  subject.device = run.run.device;
  subject.facts = {
      {"model", run.model.layers.empty() ? run.model.preset.preset
                                         : fmt::format("{} layers", run.model.layers.size())},
      {"data", run.data.path()},
      {"strategy", std::string(name_of(run.parallel.options.kind))}};
  subject.make = [&run](comm::Communicator& communicator, std::int64_t lanes, std::int64_t batch) {
    train::Run changed = run;
    changed.train.lanes = lanes;
    changed.train.batch = batch;
    const Quiet quiet;
    return std::make_unique<RunStepper>(communicator, changed);
  };
  return subject;
}

StepSubject of_preset(const Request& request) {
  const PresetSettings settings = complete({.model = request.preset});
  StepSubject subject;
  subject.lanes = settings.lanes;
  subject.batch = settings.batch;
  subject.device = request.device;
  subject.facts = {{"model", settings.model}, {"data", "numbers in memory"}};
  subject.make = [settings, device = request.device](comm::Communicator& communicator,
                                                     std::int64_t lanes, std::int64_t batch) {
    PresetSettings changed = settings;
    changed.lanes = lanes;
    changed.batch = batch;
    return std::make_unique<PresetStepper>(communicator, device, changed);
  };
  return subject;
}

}  // namespace

StepSubject step_subject(const Request& request) {
  StepSubject subject = request.run != nullptr ? of_run(*request.run) : of_preset(request);
  subject.facts.emplace_back("batch", fmt::format("{} in {} lanes, {}", subject.batch,
                                                  subject.lanes, name_of(subject.precision)));
  return subject;
}

Hash128 digest_after_steps(Stepper& stepper) {
  for (std::int64_t done = 0; done < kComparedSteps;) done += stepper.advance();
  return stepper.digest();
}

Timing measure_steps(comm::Communicator& communicator, Stepper& stepper, double seconds) {
  std::int64_t steps = 0, stretches = 0;
  Timing time = measure(
      communicator,
      [&] {
        steps += stepper.advance();
        ++stretches;
      },
      {.seconds = seconds, .together = true, .settle = [&] { stepper.settle(); }});
  const double each = static_cast<double>(steps) / static_cast<double>(stretches);
  for (double* figure : {&time.median, &time.least, &time.most}) *figure /= each;
  time.calls = static_cast<std::int64_t>(static_cast<double>(time.calls) * each);
  return time;
}

}  // namespace lockstep::bench
