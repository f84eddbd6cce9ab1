#include "report/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace lockstep::report {
namespace {

constexpr std::array<std::pair<double, const char*>, 8> kSi{{{1e12, "T"},
                                                             {1e9, "G"},
                                                             {1e6, "M"},
                                                             {1e3, "k"},
                                                             {1, ""},
                                                             {1e-3, "m"},
                                                             {1e-6, "µ"},
                                                             {1e-9, "n"}}};
constexpr std::array<std::pair<double, const char*>, 5> kBinary{
    {{0x1p40, "Ti"}, {0x1p30, "Gi"}, {0x1p20, "Mi"}, {0x1p10, "Ki"}, {1, ""}}};
constexpr std::array<std::pair<double, const char*>, 3> kTime{
    {{2 * 86400.0, "d"}, {3 * 3600.0, "h"}, {5 * 60.0, "min"}}};

constexpr std::size_t kLetters = 6;  // of symbols that a prefix stands before without a space

template <std::size_t N>
Scaled by_table(const std::array<std::pair<double, const char*>, N>& table, double largest,
                const std::string& symbol, double least) {
  for (const auto& [factor, prefix] : table) {
    if (largest >= factor * (1 - 1e-9) && factor >= least)
      return {factor,
              std::string(prefix) + (*prefix != 0 && symbol.size() > kLetters ? " " : "") + symbol};
  }
  return {1, symbol};
}

// 1, 2 or 5 times a power of ten, at least `step`.
double nice_step(double step) {
  const double power = std::pow(10, std::floor(std::log10(step)));
  for (const double m : {1.0, 2.0, 5.0}) {
    if (m * power >= step * (1 - 1e-9)) return m * power;
  }
  return 10 * power;
}

Axis linear_axis(double low, double high, int ticks) {
  Axis axis;
  const double step = nice_step((high - low) / ticks);
  axis.low = std::floor(low / step + 1e-9) * step;
  axis.high = std::ceil(high / step - 1e-9) * step;
  axis.decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  const auto count = std::lround((axis.high - axis.low) / step);
  for (long i = 0; i <= count; ++i) {
    const double tick = axis.low + static_cast<double>(i) * step;
    axis.ticks.push_back(std::abs(tick) < 1e-9 * step ? 0 : tick);
  }
  return axis;
}

Axis power_axis(double low, double high, Scale scale, int ticks) {
  Axis axis;
  axis.scale = scale;
  const double base = scale == Scale::kDoubling ? 2 : 10;
  const double first = std::floor(std::log(low) / std::log(base) + 1e-9);
  double last = std::ceil(std::log(high) / std::log(base) - 1e-9);
  if (last <= first) last = first + 1;
  axis.low = std::pow(base, first);
  axis.high = std::pow(base, last);
  const double stride = std::max(1.0, std::ceil((last - first) / (ticks + 1)));
  for (double p = first; p <= last; p += stride) {
    axis.ticks.push_back(std::pow(base, p));
    if (base == 10 && last - first < 2)
      for (const double m : {2.0, 5.0})
        if (p < last) axis.ticks.push_back(m * std::pow(base, p));
  }
  return axis;
}

}  // namespace

Scaled scaled(const Unit& unit, double largest) {
  switch (unit.prefixes) {
    case Prefixes::kNone:
      break;
    case Prefixes::kSi:
      return by_table(kSi, largest, unit.symbol, 0);
    case Prefixes::kBinary:
      return by_table(kBinary, largest, unit.symbol, 0);
    case Prefixes::kTime:
      if (largest >= 300) {
        for (const auto& [least, name] : kTime)
          if (largest >= least)
            return {*name == 'd' ? 86400.0 : *name == 'h' ? 3600.0 : 60.0, name};
      }
      return largest >= 1 ? Scaled{1, unit.symbol} : by_table(kSi, largest, unit.symbol, 0);
  }
  return {1, unit.symbol};
}

std::string digits(double value, int significant) {
  if (!std::isfinite(value)) return "–";
  return fmt::format("{:.{}g}", value, significant);
}

std::string count(double value) {
  if (std::abs(value) < 1e4) return digits(value);
  const Scaled s = scaled({"", Prefixes::kSi}, std::abs(value));
  return digits(value / s.factor, 4) + s.unit;
}

std::string with_unit(double value, const Unit& unit) {
  if (!std::isfinite(value)) return "–";
  const Scaled s = scaled(unit, std::abs(value));
  const std::string text = digits(value / s.factor, 3);
  return s.unit == "1" ? text : text + " " + s.unit;
}

double Axis::place(double value) const {
  if (scale == Scale::kLinear) return (value - low) / (high - low);
  return std::log(value / low) / std::log(high / low);
}

Axis make_axis(double low, double high, Scale scale, int ticks) {
  if (!(low <= high) || !std::isfinite(low) || !std::isfinite(high)) low = 0, high = 1;
  if (scale != Scale::kLinear && low > 0) return power_axis(low, high, scale, ticks);
  if (high - low <= 1e-9 * std::max(std::abs(low), std::abs(high))) {
    const double pad = high == 0 ? 1 : std::abs(high) * 0.5;
    low = low >= 0 ? std::max(0.0, low - pad) : low - pad;
    high += pad;
  }
  return linear_axis(low, high, ticks);
}

std::string tick_text(const Axis& axis, double tick) {
  if (axis.scale != Scale::kLinear)
    return std::abs(tick) >= 1e4 || std::abs(tick) < 1e-3 ? fmt::format("{:.0e}", tick)
                                                          : digits(tick);
  if (std::abs(axis.high) >= 1e4 || std::abs(axis.low) >= 1e4) return count(tick);
  if (axis.decimals > 4) return digits(tick, 3);
  return fmt::format("{:.{}f}", tick, axis.decimals);
}

}  // namespace lockstep::report
