// What was found, and how it is printed.
#pragma once
#include <string>
#include <vector>

namespace lockstep::doctor {

enum class Verdict { kPass, kWarn, kFail };

struct Finding {
  Verdict verdict = Verdict::kPass;
  std::string topic;   // "cores"
  std::string text;    // what was seen, with ranks and hosts
  std::string remedy;  // what to try; empty where all is well
};
using Findings = std::vector<Finding>;

std::string text_of(const Findings& findings);  // lines, and a last one that sums up
bool any_failed(const Findings& findings);

}  // namespace lockstep::doctor
