#include <charconv>

#include "config/options.h"
#include "lockstep/core/error.h"

namespace lockstep::config {

std::string checkpoint_interval(const std::string& text) {
  if (text == "end" || text == "auto") return text;
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
      "steps or epoch (\"10min\", \"500steps\", \"1epoch\"), \"end\" or \"auto\"",
      text);
}

namespace {

struct TimeUnit {
  const char* name;
  std::int64_t seconds;
};
constexpr TimeUnit kTimeUnits[] = {{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};

}  // namespace

double duration(const std::string& key, const std::string& text) {
  std::int64_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && number >= 0 && number <= 1'000'000'000) {
    const std::string unit(rest, text.data() + text.size());
    for (const TimeUnit& u : kTimeUnits) {
      if (unit == u.name) return static_cast<double>(number * u.seconds);
    }
  }
  throw UserError(
      "{} = \"{}\" is not a time; write a whole number with s, min, h or d (\"90s\", \"3min\", "
      "\"2h\")",
      key, text);
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds);
  for (const TimeUnit& u : kTimeUnits) {
    if (whole > 0 && whole % u.seconds == 0) return fmt::format("{}{}", whole / u.seconds, u.name);
  }
  return "0s";
}

}  // namespace lockstep::config
