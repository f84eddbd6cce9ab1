// Token by token with a cache against the same sequence computed at once, by the program's other
// path: evaluation, whose loss at one token is minus the logarithm of one probability.
#include "serve/cached_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "serve/sampler.h"

namespace lockstep::serve {
namespace {

constexpr std::int64_t kVocabulary = 13, kContext = 19;
using Tokens = std::vector<std::int32_t>;

std::vector<nn::LayerSpec> layers_of(const std::string& preset,
                                     std::int64_t context = kContext) {
  nn::PresetOptions options;
  options.preset = preset;
  options.blocks = 2, options.embedding = 24, options.heads = 4;
  options.kv_heads = preset == "llama" ? 2 : 0;
  options.dropout = 0.5;  // generation knows none
  return nn::make_preset(options, Shape{context}, kVocabulary);
}

// Parameters far from their first values, so that attention looks at something.
void fill(const ParameterTable& table, float* parameters) {
  table.initialise(7, parameters);
  for (const Parameter& p : table.parameters()) {
    if (p.shape.rank() < 2) continue;
    for (std::int64_t i = 0; i < p.elements; ++i) parameters[p.offset + i] *= 6;
  }
}

class Whole {
 public:
  Whole(const std::vector<nn::LayerSpec>& layers, ops::Precision precision)
      : program_(cpu_device(), layers, options(precision)),
        flat_(cpu_device().allocate(program_.table().flat_elements() * sizeof(float), "test")) {
    fill(program_.table(), flat_.as<float>());
    program_.bind(flat_.as<float>());
    program_.pack();
  }
  // log p(token after tokens[0 .. at] is v), for each v.
  std::vector<double> log_probabilities(const Tokens& tokens, std::int64_t at) {
    auto* input = reinterpret_cast<std::int32_t*>(program_.input(0));
    std::fill(input, input + kContext, 0);
    std::ranges::copy(tokens, input);
    std::vector<double> out;
    for (std::int32_t v = 0; v < kVocabulary; ++v) {
      std::fill(program_.labels(0), program_.labels(0) + kContext, -1);
      program_.labels(0)[at] = v;
      ops::LaneRecord record;
      program_.evaluate(0, 1, record);
      EXPECT_EQ(record.counts[0], 1);
      out.push_back(-record.sums[0]);
    }
    return out;
  }

 private:
  static nn::ProgramOptions options(ops::Precision precision) {
    nn::ProgramOptions o = nn::token_options(kContext, kVocabulary);
    o.precision = precision;
    return o;
  }
  nn::Program program_;
  Buffer flat_;
};

std::vector<double> log_softmax(std::span<const float> logits) {
  const double most = *std::ranges::max_element(logits);
  double total = 0;
  for (const float x : logits) total += std::exp(x - most);
  std::vector<double> out;
  for (const float x : logits) out.push_back(x - most - std::log(total));
  return out;
}

std::int32_t best(const std::vector<double>& p) {
  return static_cast<std::int32_t>(std::ranges::max_element(p) - p.begin());
}

void expect_same_text(const std::string& preset, ops::Precision precision, double tolerance) {
  const auto layers = layers_of(preset);
  Whole whole(layers, precision);
  CachedModel cached(cpu_device(), layers, kVocabulary, kContext, precision);
  fill(cached.table(), cached.parameters());
  cached.ready();
  Sampler sampler({.temperature = 0});
  Tokens tokens{3, 0, 12, 5, 5};
  std::span<const float> logits = cached.read(tokens);
  while (true) {
    const auto expected = whole.log_probabilities(tokens, std::ssize(tokens) - 1);
    const auto got = log_softmax(logits);
    for (std::int64_t v = 0; v < kVocabulary; ++v)
      EXPECT_NEAR(got[v], expected[v], tolerance)
          << preset << " after " << tokens.size() << ", " << v;
    const std::int32_t token = sampler.pick(logits, std::ssize(tokens));
    if (precision == ops::Precision::kFp32) {
      EXPECT_EQ(token, best(expected)) << preset << " after " << tokens.size();
    }
    if (cached.position() == cached.context()) break;
    tokens.push_back(token);
    logits = cached.read({&token, 1});
  }
  EXPECT_EQ(std::ssize(tokens), kContext);
  std::ranges::sort(tokens);
  EXPECT_GT(std::ranges::unique(tokens).begin() - tokens.begin(), 3)
      << "a text of one token tells little";
}

TEST(CachedModel, greedy_text_is_that_of_the_whole_sequence_computed_again) {
  for (const char* preset : {"gpt", "llama"}) expect_same_text(preset, ops::Precision::kFp32, 2e-5);
}

TEST(CachedModel, computes_in_bf16_too) {
  for (const char* preset : {"gpt", "llama"}) expect_same_text(preset, ops::Precision::kBf16, 0.05);
}

void expect_same_in_parts(const std::string& preset, std::int64_t length) {
  constexpr std::int64_t context = 200;
  const auto layers = layers_of(preset, context);
  Tokens prompt;
  for (std::int64_t i = 0; i < length; ++i)
    prompt.push_back(static_cast<std::int32_t>((i * i + i / 5) % kVocabulary));
  const auto logits_in_parts = [&](std::size_t part) {
    CachedModel model(cpu_device(), layers, kVocabulary, context, ops::Precision::kFp32);
    fill(model.table(), model.parameters());
    model.ready();
    for (std::size_t at = 0; at < prompt.size(); at += part)
      model.read(std::span(prompt).subspan(at, std::min(part, prompt.size() - at)));
    const std::int32_t next = 7;  // reads what the prompt has left in the cache
    return log_softmax(model.read({&next, 1}));
  };
  const auto expected = logits_in_parts(prompt.size());
  for (const std::size_t part : {1, 7, 100}) {
    const auto got = logits_in_parts(part);
    for (std::int64_t v = 0; v < kVocabulary; ++v)
      EXPECT_NEAR(got[v], expected[v], 2e-5) << preset << ", " << length << " in parts of " << part;
  }
}

// A long prompt goes through a program that reads many tokens at once, and the text goes on from
// there.
TEST(CachedModel, reads_a_prompt_in_parts_of_any_length) {
  for (const char* preset : {"gpt", "llama"}) {
    for (const std::int64_t length : {11, 64, 65, 128, 129, 199})
      expect_same_in_parts(preset, length);
  }
}

}  // namespace
}  // namespace lockstep::serve
