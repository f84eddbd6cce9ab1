#include "doctor/finding.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace lockstep::doctor {
namespace {

constexpr std::array<const char*, 3> kWords{"pass", "warn", "fail"};

std::ptrdiff_t count(const Findings& findings, Verdict verdict) {
  return std::ranges::count(findings, verdict, &Finding::verdict);
}

}  // namespace

std::string text_of(const Findings& findings) {
  std::size_t width = 0;
  for (const Finding& f : findings) width = std::max(width, f.topic.size());
  std::string text;
  for (const Finding& f : findings) {
    text += fmt::format("{}  {:<{}}  {}\n", kWords[static_cast<std::size_t>(f.verdict)], f.topic,
                        width, f.text);
    if (!f.remedy.empty()) text += fmt::format("      {:<{}}  try: {}\n", "", width, f.remedy);
  }
  text += fmt::format("{} passed, {} warned, {} failed", count(findings, Verdict::kPass),
                      count(findings, Verdict::kWarn), count(findings, Verdict::kFail));
  return text;
}

bool any_failed(const Findings& findings) { return count(findings, Verdict::kFail) > 0; }

}  // namespace lockstep::doctor
