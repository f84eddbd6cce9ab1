#include "lockstep/ops/algorithms.h"

#include "lockstep/core/error.h"

namespace lockstep::ops {
namespace {

constexpr std::string_view kBetween = " = ";

}  // namespace

std::optional<std::string> Algorithms::find(std::string_view problem) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_problem_.find(problem);
  if (found == by_problem_.end()) return std::nullopt;
  return found->second;
}

void Algorithms::record(std::string_view problem, std::string_view algorithm) {
  LOCKSTEP_CHECK(problem.find(kBetween) == problem.npos && problem.find('\n') == problem.npos &&
                 algorithm.find('\n') == algorithm.npos);
  const std::lock_guard lock(mutex_);
  by_problem_.insert_or_assign(std::string(problem), std::string(algorithm));
}

void Algorithms::clear() {
  const std::lock_guard lock(mutex_);
  by_problem_.clear();
}

std::string Algorithms::to_text() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [problem, algorithm] : by_problem_)
    text += fmt::format("{}{}{}\n", problem, kBetween, algorithm);
  return text;
}

void Algorithms::from_text(std::string_view text) {
  std::map<std::string, std::string, std::less<>> read;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    const auto between = line.find(kBetween);
    if (end == text.npos || between == line.npos || between == 0)
      throw DataError("the list of library algorithms has the line '{}', which names none", line);
    read.insert_or_assign(std::string(line.substr(0, between)),
                          std::string(line.substr(between + kBetween.size())));
    text.remove_prefix(end + 1);
  }
  const std::lock_guard lock(mutex_);
  by_problem_ = std::move(read);
}

Algorithms& algorithms() {
  static Algorithms of_process;
  return of_process;
}

}  // namespace lockstep::ops
