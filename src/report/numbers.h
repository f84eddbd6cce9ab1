// Numbers as a page shows them: SI prefixes, ticks of axes. Knows no HTML.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace lockstep::report {

enum class Prefixes : std::uint8_t {
  kNone,    // a number as it is
  kSi,      // k, M, G; m, µ, n: powers of 1000
  kBinary,  // Ki, Mi, Gi: powers of 1024
  kTime     // s, min, h, d from a second on, SI below
};

struct Unit {
  std::string symbol = "1";  // of a number without unit, too (ISO 80000-1)
  Prefixes prefixes = Prefixes::kNone;
};

// What an axis of such numbers divides them by, and the unit's text then: {1e-3, "ms"}.
struct Scaled {
  double factor = 1;
  std::string unit;
};
Scaled scaled(const Unit& unit, double largest);

std::string digits(double value, int significant = 6);  // "0.0123457"; "–" if it is no number
std::string count(double value);                        // "1.5k", "20M"; whole below 10000
std::string with_unit(double value, const Unit& unit);  // "12.3 ms"

enum class Scale : std::uint8_t { kLinear, kLog, kDoubling };

struct Axis {
  Scale scale = Scale::kLinear;
  double low = 0, high = 1;  // of what is drawn
  std::vector<double> ticks;
  int decimals = 0;                  // of linear ticks
  double place(double value) const;  // 0 to 1
};
// Around the values from `low` to `high`, with about so many ticks.
Axis make_axis(double low, double high, Scale scale, int ticks);
std::string tick_text(const Axis& axis, double tick);

}  // namespace lockstep::report
