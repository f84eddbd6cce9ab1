// Stacked bars: standing over numbers, or lying below names.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/html.h"
#include "report/plot.h"
#include "report/svg.h"

namespace lockstep::report {
namespace {

constexpr double kRowHeight = 36, kNameHeight = 15;
constexpr std::size_t kNameLetters = 56;  // that fit above a bar
constexpr double kNameRight = 404;

double longest(const Bars& bars) {
  double most = 0;
  for (std::size_t b = 0; b < bars.bars.size(); ++b) {
    double sum = 0;
    for (const Part& part : bars.parts)
      if (std::isfinite(part.values[b])) sum += part.values[b];
    most = std::max(most, sum);
  }
  return most;
}

std::string rectangle(double x, double y, double width, double height, const Part& part,
                      const std::string& says) {
  return fmt::format(
      "<rect class=\"area {}\" x={} y={} width={} height={}><title>{}</title></rect>\n",
      colour_class(part.colour), coordinate(x), coordinate(y), coordinate(width),
      coordinate(height), text(says));
}

std::string says(const Bars& bars, std::size_t b, const Part& part) {
  return fmt::format("{} {}: {} {}", bars.bar_name, bars.bars[b], part.name,
                     with_unit(part.values[b], bars.unit));
}

std::string standing(const Bars& bars, const Axis& axis, const Scaled& by) {
  std::string svg;
  for (const double tick : axis.ticks) {
    const double y = kBottom - (kBottom - kTop) * axis.place(tick);
    svg += svg_line(kLeft, y, kRight, y, "grid");
    svg += svg_text(kLeft - 5, y + 4, "tick end", tick_text(axis, tick));
  }
  const double step = (kRight - kLeft) / static_cast<double>(bars.bars.size());
  const double width = std::min(60.0, step > 3 ? 0.8 * step : step);
  const std::size_t stride = (bars.bars.size() + 9) / 10;
  for (std::size_t b = 0; b < bars.bars.size(); ++b) {
    const double middle = kLeft + (static_cast<double>(b) + 0.5) * step;
    double y = kBottom;
    for (const Part& part : bars.parts) {
      if (!(part.values[b] > 0)) continue;
      const double height = (kBottom - kTop) * part.values[b] / by.factor / axis.high;
      y -= height;
      svg += rectangle(middle - width / 2, y, width, height, part, says(bars, b, part));
    }
    if (b % stride == 0) svg += svg_text(middle, kBottom + 17, "tick middle", bars.bars[b]);
  }
  svg += svg_line(kLeft, kBottom, kRight, kBottom, "axis");
  svg += svg_text(4, 13, "label yl", axis_label(bars.value_name, by.unit));
  svg += svg_text(kRight, kHeight - 5, "label xl end", axis_label(bars.bar_name, "number"));
  return svg;
}

// Bytes at which a name of at most kNameLetters ends, between letters of UTF-8.
std::string shortened(const std::string& name) {
  if (name.size() <= kNameLetters) return name;
  std::size_t end = kNameLetters - 1;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return name.substr(0, end) + "…";
}

std::string lying(const Bars& bars, const Axis& axis, const Scaled& by, double bottom) {
  constexpr double kBarLeft = 8;
  const auto px = [&](double tick) {
    return kBarLeft + (kNameRight - kBarLeft) * axis.place(tick);
  };
  std::string svg;
  for (const double tick : axis.ticks) {
    svg += svg_line(px(tick), kTop - 4, px(tick), bottom, "grid");
    const char* anchor = tick == axis.ticks.front()  ? "tick"
                         : tick == axis.ticks.back() ? "tick end"
                                                     : "tick middle";
    svg += svg_text(px(tick), bottom + 15, anchor, tick_text(axis, tick));
  }
  for (std::size_t b = 0; b < bars.bars.size(); ++b) {
    const double top = kTop + kRowHeight * static_cast<double>(b);
    svg += svg_text(kBarLeft, top + kNameHeight - 4, "name", shortened(bars.bars[b]));
    double x = kBarLeft;
    for (const Part& part : bars.parts) {
      if (!(part.values[b] > 0)) continue;
      const double width = (kNameRight - kBarLeft) * part.values[b] / by.factor / axis.high;
      svg += rectangle(x, top + kNameHeight, width, kRowHeight - kNameHeight - 5, part,
                       says(bars, b, part));
      x += width;
    }
  }
  svg += svg_line(kBarLeft, bottom, kNameRight, bottom, "axis");
  svg += svg_text(4, 13, "label yl", axis_label(bars.bar_name, "name"));
  svg += svg_text(kNameRight, bottom + 35, "label xl end", axis_label(bars.value_name, by.unit));
  return svg;
}

std::string values_table(const Bars& bars) {
  Table table;
  table.head.push_back(bars.bar_name);
  for (const Part& part : bars.parts) table.head.push_back(axis_label(part.name, bars.unit.symbol));
  for (std::size_t b = 0; b < bars.bars.size(); ++b) {
    std::vector<std::string> row{bars.bars[b]};
    for (const Part& part : bars.parts) row.push_back(digits(part.values[b]));
    table.rows.push_back(std::move(row));
  }
  return table_html(table);
}

}  // namespace

std::string figure_html(const Bars& bars, int id) {
  if (bars.bars.empty() || bars.parts.empty()) return "";
  const double most = longest(bars);
  const Scaled by = scaled(bars.unit, most);
  const Axis axis = make_axis(0, most > 0 ? most / by.factor : 1, Scale::kLinear, 4);
  const double bottom = kTop + kRowHeight * static_cast<double>(bars.bars.size());
  const double height = bars.numbered ? kHeight : bottom + 42;
  const std::string svg =
      svg_begin(id, height, bars.title, bars.about, " class=bars") +
      (bars.numbered ? standing(bars, axis, by) : lying(bars, axis, by, bottom));
  std::string legend;
  for (const Part& part : bars.parts)
    legend += legend_entry(part.name, colour_class(part.colour), true);
  return frame_html(bars.title, svg, legend, values_table(bars));
}

}  // namespace lockstep::report
