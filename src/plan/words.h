// Numbers and layouts as the plan's sentences say them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/plan/job.h"

namespace lockstep::plan {

std::string grouped(double count);                            // "60,000"
std::string flops_text(double flops);                         // "37.0 GFLOP"
std::string percent(double part);                             // "87 %"
std::string times_text(double ratio);                         // "1.9 times"
std::string ranks_text(const Layout& layout);                 // "16 ranks on 2 nodes"
std::string strategy_text(const parallel::Options& options);  // "sharded, stage 2"
std::string joined(const std::vector<std::string>& parts);    // "a, b and c"

}  // namespace lockstep::plan
