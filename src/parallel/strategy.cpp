#include "lockstep/parallel/strategy.h"

#include <fmt/format.h>

namespace lockstep::parallel {

std::string what_is_not_finite(const ParameterTable& table, const StepOutcome& outcome) {
  if (outcome.bad_lane >= 0)
    return fmt::format("the loss of lane {} is not finite", outcome.bad_lane);
  if (outcome.bad_parameter < 0) return "all is finite";
  return fmt::format("the gradient of '{}' is not finite", table[outcome.bad_parameter].name);
}

std::vector<StateTensor> Strategy::copies() {
  std::vector<StateTensor> tensors;
  for (const StateTensor& tensor : state()) {
    if (tensor.holders == nullptr) tensors.push_back(tensor);
  }
  return tensors;
}

}  // namespace lockstep::parallel
