#include "plan/words.h"

#include <fmt/format.h>

#include <array>

namespace lockstep::plan {

std::string grouped(double count) {
  std::string digits = fmt::format("{:.0f}", count);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

std::string flops_text(double flops) {
  constexpr std::array units{"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP", "ZFLOP"};
  std::size_t u = 0;
  while (flops >= 1000 && u + 1 < units.size()) flops /= 1000, ++u;
  return fmt::format("{:.3g} {}", flops, units[u]);
}

std::string percent(double part) {
  if (part > 0 && part < 0.01) return "less than 1 %";
  return fmt::format("{:.0f} %", 100 * part);
}

std::string times_text(double ratio) {
  return ratio < 10 ? fmt::format("{:.2f} times", ratio) : fmt::format("{:.0f} times", ratio);
}

std::string ranks_text(const Layout& layout) {
  const std::string ranks = layout.ranks == 1 ? "1 rank" : grouped(double(layout.ranks)) + " ranks";
  if (layout.ranks == 1) return ranks;
  return layout.nodes() == 1
             ? ranks + " on one node"
             : fmt::format("{} on {} nodes", ranks, grouped(double(layout.nodes())));
}

std::string strategy_text(const parallel::Options& options) {
  std::string text(parallel::name_of(options.kind));
  if (options.kind == parallel::Kind::kSharded) text += fmt::format(", stage {}", options.stage);
  return text;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i)
    text += (i == 0 ? "" : i + 1 == parts.size() ? " and " : ", ") + parts[i];
  return text;
}

}  // namespace lockstep::plan
