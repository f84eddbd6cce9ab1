// The token presets against PyTorch (token_models.py): losses of 20 steps, and the first step's
// logits and gradients.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "golden.h"

namespace lockstep::golden {
namespace {

constexpr std::uint64_t kVocabulary = 61;
constexpr std::int64_t kTokens = 24;

std::vector<nn::LayerSpec> layers_of(const std::string& preset) {
  nn::PresetOptions options;
  options.preset = preset;
  options.blocks = 2;
  options.embedding = 48;
  options.heads = preset == "gpt" ? 3 : 4;
  options.kv_heads = preset == "gpt" ? 0 : 2;
  options.tied = preset == "gpt";
  return nn::make_preset(options, Shape{kTokens}, kVocabulary);
}

// Sample n of a step, and the token that follows it.
std::vector<std::int32_t> sequence(std::uint64_t step, std::int64_t n) {
  std::vector<std::int32_t> tokens;
  std::uint64_t last = 0;
  for (std::int64_t t = 0; t <= kTokens; ++t) {
    const std::uint64_t word =
        splitmix64(step, static_cast<std::uint64_t>(n * (kTokens + 1) + t));
    last = t == 0 ? word % kVocabulary : (3 * last + 1 + word % 2) % kVocabulary;
    tokens.push_back(static_cast<std::int32_t>(last));
  }
  return tokens;
}

void fill(nn::Program& program, std::uint64_t step, std::int64_t first) {
  constexpr std::size_t kBytes = kTokens * sizeof(std::int32_t);
  for (std::int64_t i = 0; i < program.options().microbatch; ++i) {
    const auto tokens = sequence(step, first + i);
    std::memcpy(program.input(0) + i * kTokens, tokens.data(), kBytes);
    std::memcpy(program.labels(0) + i * kTokens, tokens.data() + 1, kBytes);
  }
}

// Keeps the gradients of one microbatch, [flat_elements()].
class Kept : public nn::GradientSink {
 public:
  explicit Kept(const ParameterTable& table)
      : table_(table), flat(static_cast<std::size_t>(table.flat_elements()), NAN) {}
  float* address(int parameter) override { return flat.data() + table_[parameter].offset; }
  void complete(int /*first*/, int /*end*/) override {}

 private:
  const ParameterTable& table_;

 public:
  std::vector<float> flat;
};

class Tokens : public ::testing::TestWithParam<const char*> {};

TEST_P(Tokens, losses_are_as_near_to_float64_as_pytorch) {
  expect_losses(read(GetParam()), layers_of(GetParam()),
                nn::token_options(kTokens, kVocabulary, 0), fill);
}

// Every element against twice PyTorch's largest error in the same tensor. The inner product with
// random numbers stands for the elements that the file leaves out.
TEST_P(Tokens, gradients_are_as_near_to_float64_as_pytorch) {
  const auto golden = read(GetParam());
  nn::Program program(cpu_device(), layers_of(GetParam()),
                      nn::token_options(kTokens, kVocabulary, golden["batch"]));
  const std::vector<float> flat = initial_values(program.table(), golden["parameters"]);
  program.bind(flat.data());
  program.pack();
  fill(program, 0, 0);
  Kept kept(program.table());
  ops::LaneRecord record;
  program.train(0, {}, kept, record);
  for (const Parameter& p : program.table().parameters()) {
    const auto& entry = golden["first_step"]["gradients"][p.name];
    const auto expected = entry["elements"].get<std::vector<double>>();
    const float* gradient = kept.flat.data() + p.offset;
    const std::int64_t stride = (p.elements + 255) / 256;
    double largest = 0, squares = 0, product = 0;
    for (const double value : expected) largest = std::max(largest, std::fabs(value));
    for (std::int64_t e = 0; e < p.elements; ++e) {
      squares += static_cast<double>(gradient[e]) * gradient[e];
      product += gradient[e] * uniform(1, static_cast<std::uint64_t>(e));
    }
    const auto near = [&](const char* figure, double ours, double value, double unit) {
      const double allowed =
          2 * entry[std::string(figure) + "_deviation"].get<double>() + 1e-6 * unit;
      EXPECT_TRUE(std::fabs(ours - value) <= allowed)
          << p.name << ' ' << figure << ": " << ours << " against " << value << " +- " << allowed;
    };
    ASSERT_EQ(static_cast<std::int64_t>(expected.size()), (p.elements + stride - 1) / stride);
    for (std::size_t i = 0; i < expected.size(); ++i)
      near("elements", gradient[static_cast<std::int64_t>(i) * stride], expected[i], largest);
    const double norm = entry["norm"][0];
    near("norm", std::sqrt(squares), norm, norm);
    near("product", product, entry["product"][0], norm);
  }
}

// Inference: the whole sequence at once, and token by token with keys and values kept.
TEST_P(Tokens, logits_are_as_near_to_float64_as_pytorch) {
  const auto golden = read(GetParam());
  const auto expected = golden["first_step"]["logits"].get<std::vector<double>>();
  const double allowed = 2 * golden["first_step"]["logits_deviation"].get<double>() + 1e-6;
  const auto tokens = sequence(0, 0);
  for (const std::int64_t piece : {kTokens, std::int64_t{1}}) {
    nn::ProgramOptions options = nn::token_options(kTokens, kVocabulary, 1);
    options.sample = Shape{piece};
    options.labels = piece;
    options.cache = kTokens;
    nn::Program program(cpu_device(), layers_of(GetParam()), options);
    const std::vector<float> flat = initial_values(program.table(), golden["parameters"]);
    program.bind(flat.data());
    program.pack();
    for (std::int64_t position = 0; position < kTokens; position += piece) {
      std::memcpy(program.input(0), tokens.data() + position, piece * sizeof(std::int32_t));
      program.infer(0, position);
      for (std::int64_t i = 0; i < piece * static_cast<std::int64_t>(kVocabulary); ++i) {
        const double value = expected[position * kVocabulary + i];
        EXPECT_TRUE(std::fabs(program.output(0)[i] - value) <= allowed)
            << "by " << piece << ", position " << position << ", logit " << i << ": "
            << program.output(0)[i] << " against " << value << " +- " << allowed;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Presets, Tokens, ::testing::Values("gpt", "llama"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace lockstep::golden
