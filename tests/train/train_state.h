// A small state of awkward sizes for the tests of checkpoints: the same numbers in every process.
#pragma once
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "lockstep/train/checkpoint.h"

namespace lockstep::train {

struct TestState {
  ParameterTable table;
  std::vector<std::string> names;
  std::vector<std::vector<float>> data;
  State state;

  explicit TestState(std::int64_t step = 50, std::int64_t scale = 1,
                     std::vector<std::string> tensors = {"parameters", "optimizer/m",
                                                         "optimizer/v"})
      : names(std::move(tensors)) {
    using K = ParameterKind;
    for (std::int64_t n : {1, 7, 31, 32, 33, 1000, 1023, 4096, 4097, 10007}) {
      table.add(fmt::format("p{}", n), {n * scale}, n < 32 ? K::kNoDecay : K::kWeight,
                Init::kZeros);
    }
    table.add("conv.weight", {3, 5, 2, 7 * scale}, K::kWeight, Init::kZeros);
    table.add("norm.mean", {17}, K::kStatistic, Init::kZeros);
    table.add("scalar", {}, K::kNoDecay, Init::kZeros);
    for (std::size_t t = 0; t < names.size(); ++t) {
      std::vector<float> values(table.flat_elements(), 0.0f);
      for (const Parameter& p : table.parameters()) {
        for (std::int64_t i = 0; i < p.elements; ++i) {
          values[p.offset + i] = value(static_cast<int>(t), p.offset + i, step);
        }
      }
      data.push_back(std::move(values));
    }
    state.table = &table;
    for (std::size_t t = 0; t < names.size(); ++t)
      state.tensors.push_back({names[t], data[t].data()});
    state.progress.integers = {{"step", step}, {"epoch", 3}, {"epoch_step", -7}};
    state.progress.reals = {{"best", HUGE_VAL}, {"window/loss", 0.1}, {"minus_zero", -0.0}};
  }
  TestState(const TestState&) = delete;
  TestState& operator=(const TestState&) = delete;

  static float value(int tensor, std::int64_t element, std::int64_t step) {
    const std::uint64_t bits =
        (static_cast<std::uint64_t>(element) + 1) * 0x9E3779B97F4A7C15u +
        static_cast<std::uint64_t>(tensor * 1009 + step) * 0xD1B54A32D192ED03u;
    return static_cast<float>(static_cast<std::int32_t>(bits >> 32)) * 0x1p-31f;
  }
  static CheckpointText text() {
    return {"[train]\nseed = 1\n", R"({"isa":"avx2","cpu":"one"})", R"({"layers":[]})"};
  }
};

}  // namespace lockstep::train
