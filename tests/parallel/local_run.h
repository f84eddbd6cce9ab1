// Runs of a strategy on a small network and samples that are a function of step, lane and
// microbatch: what the tests of local steps compare.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "lockstep/core/philox.h"
#include "lockstep/parallel/strategy.h"

namespace lockstep::parallel::test {

inline std::vector<nn::LayerSpec> small_network() {
  std::vector<nn::LayerSpec> layers(5);
  layers[0].kind = "linear", layers[0].out = 70;
  layers[1].kind = "batch_norm";
  layers[2].kind = "relu";
  layers[3].kind = "dropout", layers[3].rate = 0.25;
  layers[4].kind = "linear";
  return layers;
}

inline nn::ProgramOptions small_program(int streams = 1) {
  nn::ProgramOptions options;
  options.sample = Shape{67};
  options.microbatch = 3;
  options.outputs = 5;
  options.streams = streams;
  return options;
}

class Passes final : public LaneRunner {
 public:
  Passes(nn::Program& program, std::int64_t accumulate)
      : program_(program), accumulate_(accumulate) {}
  void on_streams(const std::function<void(int)>& work) override {
    std::vector<std::thread> threads;
    for (int s = 1; s < program_.options().streams; ++s) threads.emplace_back([&, s] { work(s); });
    work(0);
    for (std::thread& t : threads) t.join();
  }
  void run(const LanePass& pass) override {
    const RandomKey key{7, static_cast<std::uint64_t>(pass.step),
                        static_cast<std::uint32_t>(pass.lane * accumulate_ + pass.micro), 60000};
    const std::int64_t values = program_.options().microbatch * program_.options().sample[0];
    float* const input = program_.input(pass.stream);
    for (std::int64_t i = 0; i < values; ++i)
      input[i] = static_cast<float>(2 * unit_interval(key.word(i)) - 1);
    for (std::int64_t i = 0; i < program_.options().microbatch; ++i)
      program_.labels(pass.stream)[i] = static_cast<std::int32_t>(key.word(values + i) % 5);
    if (pass.step == bad_step && pass.lane == bad_lane) input[1] = NAN;
    program_.train(pass.stream, {1, key.step, key.lane_micro}, *pass.sink, *pass.record);
  }
  void run_together(std::span<const LanePass> passes) override {
    for (const LanePass& pass : passes) run(pass);
  }
  Requests requests() override { return asked; }

  std::int64_t bad_step = -1, bad_lane = -1;  // whose input is not finite
  Requests asked;

 private:
  nn::Program& program_;
  const std::int64_t accumulate_;
};

struct Setting {
  optim::Options optimizer;
  Options parallel;
};

// A strategy with its program, at `step` of its run.
struct SmallRun {
  SmallRun(comm::Communicator& communicator, const Setting& setting)
      : program(cpu_device(), small_network(), small_program(setting.parallel.streams)),
        strategy(make_strategy(communicator, cpu_device(), program, setting.optimizer,
                               setting.parallel)),
        passes(program, setting.parallel.accumulate) {
    program.table().initialise(1, strategy->state().front().data);
    strategy->restored();
  }

  // As many stretches as it takes to pass this step.
  void go_to(std::int64_t end) {
    while (step < end) {
      std::vector<StepOutcome> of_stretch(strategy->stretch(step, end - step));
      step += strategy->run(step, passes, of_stretch);
      outcomes.insert(outcomes.end(), of_stretch.begin(), of_stretch.end());
    }
  }
  std::map<std::string, float*> state() const {
    std::map<std::string, float*> tensors;
    for (const StateTensor& t : strategy->state()) tensors[t.name] = t.data;
    return tensors;
  }
  std::vector<float> values(const std::string& tensor) const {
    const float* const data = state().at(tensor);
    return {data, data + program.table().flat_elements()};
  }

  nn::Program program;
  std::unique_ptr<Strategy> strategy;
  Passes passes;
  std::int64_t step = 0;
  std::vector<StepOutcome> outcomes;
};

// What both hold, bit for bit; returns how many tensors that were.
inline int expect_same_state(const SmallRun& a, const SmallRun& b) {
  const auto of_a = a.state(), of_b = b.state();
  EXPECT_EQ(of_a.size(), of_b.size());
  int compared = 0;
  for (const auto& [name, data] : of_a) {
    const float* const other = of_b.at(name);
    if (data == nullptr || other == nullptr) continue;
    ++compared;
    const std::size_t bytes = a.program.table().flat_elements() * sizeof(float);
    EXPECT_EQ(std::memcmp(data, other, bytes), 0) << name;
  }
  return compared;
}

inline void expect_same_outcomes(const SmallRun& a, const SmallRun& b, std::size_t from = 0) {
  ASSERT_EQ(a.outcomes.size() - from, b.outcomes.size());
  for (std::size_t i = 0; i < b.outcomes.size(); ++i) {
    const StepOutcome &x = a.outcomes[from + i], &y = b.outcomes[i];
    EXPECT_EQ(x.total.lane.sums, y.total.lane.sums) << i;
    EXPECT_EQ(x.total.lane.counts, y.total.lane.counts) << i;
    EXPECT_EQ(x.gradient_norm, y.gradient_norm) << i;
    EXPECT_EQ(x.learning_rate, y.learning_rate) << i;
  }
}

inline Setting local_setting(std::int64_t lanes, std::int64_t replicas, std::int64_t every,
                             OuterStep outer) {
  Setting s;
  s.parallel.kind = Kind::kLocal;
  s.parallel.lanes = lanes;
  s.parallel.replicas = replicas;
  s.parallel.every = every;
  s.parallel.outer = outer;
  s.parallel.bucket_bytes = 8192;
  s.optimizer.lr = 0.01;
  s.optimizer.clip = 0.8;
  return s;
}

}  // namespace lockstep::parallel::test
