// Each preset against PyTorch: 20 steps of AdamW, lanes 1 and 4. The files are made by
// make_golden.py; parameters and data come from splitmix64 on both sides.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lockstep/parallel/replicated.h"

namespace lockstep {
namespace {

// Steele et al. 2014; word i of the sequence of `seed`.
std::uint64_t splitmix64(std::uint64_t seed, std::uint64_t i) {
  std::uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}
double uniform(std::uint64_t seed, std::uint64_t i) {
  return static_cast<double>(splitmix64(seed, i) >> 40) * 0x1p-23 - 1;
}

// The initial values of make_golden.py, tensor number i seeded with 1000 + i.
void initialise(const ParameterTable& table, const nlohmann::json& names, float* flat) {
  std::uint64_t seed = 1000;
  for (const Parameter& p : table.parameters()) {
    if (p.kind == ParameterKind::kStatistic) continue;
    ASSERT_EQ(p.name, names[seed - 1000].get<std::string>());
    double scale = 0.125, offset = 0;
    if (p.shape.rank() > 1) {
      const double fan_in = static_cast<double>(p.elements / p.shape[0]);
      scale = std::exp2(std::nearbyint(
          std::log2(p.shape.rank() == 2 ? std::pow(fan_in, -0.5) : std::sqrt(6 / fan_in))));
    } else if (p.name.find("bn") != std::string::npos) {
      scale = 0.25;
      offset = p.name.ends_with(".weight") ? 1 : 0;
    }
    for (std::int64_t e = 0; e < p.elements; ++e)
      flat[p.offset + e] =
          static_cast<float>(offset + uniform(seed, static_cast<std::uint64_t>(e)) * scale);
    ++seed;
  }
  ASSERT_EQ(seed - 1000, names.size());
}

std::vector<nn::LayerSpec> layers_of(const std::string& preset, const Shape& sample) {
  nn::PresetOptions options;
  options.preset = preset;
  options.hidden = {64, 32};
  options.activation = "tanh";
  options.width = 8;
  return nn::make_preset(options, sample, 10);
}

std::vector<double> train(const nlohmann::json& golden, std::int64_t lanes, std::size_t steps) {
  const auto extents = golden["sample"].get<std::vector<std::int64_t>>();
  const std::int64_t batch = golden["batch"];
  nn::ProgramOptions options;
  options.sample = Shape(std::span<const std::int64_t>(extents));
  options.microbatch = batch / lanes;
  options.outputs = 10;
  nn::Program program(cpu_device(), layers_of(golden["preset"], options.sample), options);
  std::vector<float> flat(static_cast<std::size_t>(program.table().flat_elements()));
  initialise(program.table(), golden["parameters"], flat.data());
  program.bind(flat.data());
  program.pack();
  const auto self = comm::make_communicator({});
  optim::Options adamw;
  adamw.lr = golden["lr"];
  optim::Optimizer optimizer(program.table(), adamw, cpu_device());
  parallel::Options parallel_options;
  parallel_options.lanes = lanes;
  parallel::Replicated strategy(*self, program, flat.data(), optimizer, adamw, parallel_options);
  std::vector<double> losses;
  for (std::size_t step = 0; step < steps; ++step) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const std::int64_t values = options.microbatch * options.sample.elements();
      for (std::int64_t i = 0; i < values; ++i)
        program.input(0)[i] =
            static_cast<float>(uniform(step, static_cast<std::uint64_t>(lane * values + i)));
      for (std::int64_t i = 0; i < options.microbatch; ++i)
        program.labels(0)[i] = static_cast<std::int32_t>(
            splitmix64(500 + step, static_cast<std::uint64_t>(lane * options.microbatch + i)) % 10);
      parallel::StepRecord record;
      program.train(0, {1, step, static_cast<std::uint32_t>(lane)}, strategy.begin(0, lane, 0),
                    record.lane);
      strategy.set_record(lane, record);
    }
    losses.push_back(strategy.finish(static_cast<std::int64_t>(step)).total.lane.sums[0] /
                     static_cast<double>(batch));
    program.pack();
  }
  return losses;
}

class Golden : public ::testing::TestWithParam<const char*> {};

TEST_P(Golden, losses_are_as_near_to_float64_as_pytorch) {
  std::ifstream file(std::string(GOLDEN_FOLDER) + "/" + GetParam() + ".json");
  ASSERT_TRUE(file) << "run tests/golden/make_golden.py";
  const auto golden = nlohmann::json::parse(file);
  for (const auto& run : golden["runs"]) {
    const auto reference = run["float64"].get<std::vector<double>>();
    const auto pytorch = run["float32_deviation"].get<std::vector<double>>();
    const auto losses = train(golden, run["lanes"], reference.size());
    double deviation =
        0;  // PyTorch's own: rounding errors grow from step to step, so the largest so far
    for (std::size_t step = 0; step < reference.size(); ++step) {
      deviation = std::max(deviation, pytorch[step]);
      EXPECT_TRUE(std::fabs(losses[step] - reference[step]) <= 2 * deviation + 1e-6)
          << "lanes " << run["lanes"] << " step " << step << ": " << losses[step] << " against "
          << reference[step] << ", PyTorch's deviation " << deviation;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Presets, Golden, ::testing::Values("linear", "mlp", "lenet", "resnet20"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace lockstep
