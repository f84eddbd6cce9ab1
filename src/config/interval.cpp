#include <charconv>

#include "config/options.h"
#include "lockstep/core/error.h"

namespace lockstep::config {

std::string checkpoint_interval(const std::string& text) {
  if (text == "end") return text;
  struct Unit {
    const char* written;
    const char* meant;
    std::int64_t factor;
  };
  static constexpr Unit kUnits[] = {
      {"s", "s", 1},         {"min", "min", 1},     {"h", "min", 60},       {"step", "steps", 1},
      {"steps", "steps", 1}, {"epoch", "epoch", 1}, {"epochs", "epoch", 1},
  };
  std::int64_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  // Beyond 10^9 the product with a unit could overflow, and no run is that long.
  if (error == std::errc() && number >= 1 && number <= 1'000'000'000) {
    const std::string unit(rest, text.data() + text.size());
    for (const Unit& u : kUnits) {
      if (unit == u.written) return fmt::format("{}{}", number * u.factor, u.meant);
    }
  }
  throw UserError(
      "checkpoint.every = \"{}\" is not an interval; write a whole number with s, min, h, "
      "steps or epoch (\"10min\", \"500steps\", \"1epoch\"), or \"end\"",
      text);
}

}  // namespace lockstep::config
