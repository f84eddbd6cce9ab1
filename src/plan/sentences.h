// Sentences of the plan that need no search: sizes, memory, gains.
#pragma once
#include <string>

#include "plan/changes.h"

namespace lockstep::plan {

std::string capitalised(std::string text);
// Bytes that must fit where memory is shortest: on the device, or on the node's host.
double needed(const Prediction& prediction, const Machine& machine);
// "61.2 MiB of a node's 24.00 GiB"
std::string memory_text(const Prediction& prediction, const Machine& machine);
// "The largest part: activations, 3.20 GiB."
std::string largest_row_text(const Prediction& prediction);
// Parameters, data, steps and their time.
std::string size_text(const Job& job, const Machine& machine, const Prediction& prediction);
std::string data_text(const Job& job);
// bottleneck_text() to go on with after "On 8 ranks, ".
std::string bottleneck_phrase(const Job& job, const Prediction& prediction);
std::string gains_text(const Gains& gains);

}  // namespace lockstep::plan
