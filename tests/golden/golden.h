// What the golden tests share: the parameters of make_golden.py, from splitmix64 on both sides, and
// training as it does it. Where samples come from is the caller's.
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lockstep/nn/program.h"

namespace lockstep::golden {

// Steele et al. 2014; word i of the sequence of `seed`.
std::uint64_t splitmix64(std::uint64_t seed, std::uint64_t i);
// In [-1, 1), multiples of 2^-23.
double uniform(std::uint64_t seed, std::uint64_t i);

// The file of a preset; fails the test if it is absent.
nlohmann::json read(const std::string& preset);
// The initial values of make_golden.py, tensor number i seeded with 1000 + i: [flat_elements()].
// Fails the test if the table's names are not the file's.
std::vector<float> initial_values(const ParameterTable& table, const nlohmann::json& names);

// Writes input and labels of samples [first, first + microbatch) of a step.
using Fill = std::function<void(nn::Program& program, std::uint64_t step, std::int64_t first)>;

// Trains with AdamW as the file says, with the file's two numbers of lanes, and expects losses as
// near to PyTorch's in float64 as PyTorch's own in float32. `options` lack the microbatch.
void expect_losses(const nlohmann::json& golden, const std::vector<nn::LayerSpec>& layers,
                   nn::ProgramOptions options, const Fill& fill);

}  // namespace lockstep::golden
