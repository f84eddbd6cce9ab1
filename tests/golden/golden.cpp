#include "golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "lockstep/parallel/strategy.h"

namespace lockstep::golden {
namespace {

// Fills a lane's inputs from the golden data.
class GoldenPasses final : public parallel::LaneRunner {
 public:
  GoldenPasses(nn::Program& program, const Fill& fill) : program_(program), fill_(fill) {}
  void on_streams(const std::function<void(int)>& work) override { work(0); }
  void run(const parallel::LanePass& pass) override {
    fill_(program_, static_cast<std::size_t>(pass.step), pass.lane * program_.options().microbatch);
    program_.train(
        0, {1, static_cast<std::uint64_t>(pass.step), static_cast<std::uint32_t>(pass.lane)},
        *pass.sink, *pass.record);
  }
  void run_together(std::span<const parallel::LanePass> passes) override {
    for (const parallel::LanePass& pass : passes) run(pass);
  }
  parallel::Requests requests() override { return {}; }

 private:
  nn::Program& program_;
  const Fill& fill_;
};

std::vector<double> train(const nlohmann::json& golden, const std::vector<nn::LayerSpec>& layers,
                          nn::ProgramOptions options, const Fill& fill, std::int64_t lanes,
                          std::size_t steps) {
  const std::int64_t batch = golden["batch"];
  options.microbatch = batch / lanes;
  nn::Program program(cpu_device(), layers, options);
  const auto self = comm::make_communicator({});
  optim::Options adamw;
  adamw.lr = golden["lr"];
  parallel::Options parallel_options;
  parallel_options.lanes = lanes;
  const auto strategy =
      parallel::make_strategy(*self, cpu_device(), program, adamw, parallel_options);
  const std::vector<float> first = initial_values(program.table(), golden["parameters"]);
  std::copy(first.begin(), first.end(), strategy->state().front().data);
  strategy->restored();
  GoldenPasses passes(program, fill);
  std::vector<double> losses;
  for (std::size_t step = 0; step < steps; ++step) {
    std::vector<parallel::StepOutcome> outcome(1);
    strategy->run(static_cast<std::int64_t>(step), passes, outcome);
    const ops::LaneRecord& total = outcome.front().total.lane;
    losses.push_back(total.sums[0] / static_cast<double>(total.counts[0]));
  }
  return losses;
}

}  // namespace

std::uint64_t splitmix64(std::uint64_t seed, std::uint64_t i) {
  std::uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

double uniform(std::uint64_t seed, std::uint64_t i) {
  return static_cast<double>(splitmix64(seed, i) >> 40) * 0x1p-23 - 1;
}

nlohmann::json read(const std::string& preset) {
  std::ifstream file(std::string(GOLDEN_FOLDER) + "/" + preset + ".json");
  EXPECT_TRUE(file) << "run tests/golden/make_golden.py";
  return nlohmann::json::parse(file);
}

std::vector<float> initial_values(const ParameterTable& table, const nlohmann::json& names) {
  std::vector<float> flat(static_cast<std::size_t>(table.flat_elements()));
  std::size_t number = 0;
  for (const Parameter& p : table.parameters()) {
    if (p.kind == ParameterKind::kStatistic) continue;
    EXPECT_EQ(p.name, number < names.size() ? names[number].get<std::string>() : "none");
    double scale = 0.125, offset = 0;
    const bool norm =
        p.name.find("bn") != std::string::npos || p.name.find("norm") != std::string::npos;
    const bool table_of_rows = p.name == "tokens.weight" || p.name == "positions.weight";
    if (p.shape.rank() > 1 && !table_of_rows) {
      const double fan_in = static_cast<double>(p.elements / p.shape[0]);
      scale = std::exp2(std::nearbyint(
          std::log2(p.shape.rank() == 2 ? std::pow(fan_in, -0.5) : std::sqrt(6 / fan_in))));
    } else if (norm) {
      scale = 0.25;
      offset = p.name.ends_with(".weight") ? 1 : 0;
    }
    for (std::int64_t e = 0; e < p.elements; ++e)
      flat[p.offset + e] = static_cast<float>(
          offset + uniform(1000 + number, static_cast<std::uint64_t>(e)) * scale);
    ++number;
  }
  EXPECT_EQ(number, names.size());
  return flat;
}

void expect_losses(const nlohmann::json& golden, const std::vector<nn::LayerSpec>& layers,
                   nn::ProgramOptions options, const Fill& fill) {
  for (const auto& run : golden["runs"]) {
    const auto reference = run["float64"].get<std::vector<double>>();
    const auto pytorch = run["float32_deviation"].get<std::vector<double>>();
    const auto losses = train(golden, layers, options, fill, run["lanes"], reference.size());
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

}  // namespace lockstep::golden
