#include "report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "report/html.h"
#include "report/svg.h"
#include "report/thinning.h"

namespace lockstep::report {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();     // has no point here
constexpr double kNoNumber = std::numeric_limits<double>::infinity();  // has one without a value
constexpr std::size_t kFewPoints = 30;                                 // that are marked one by one
constexpr std::size_t kCells = 5000;  // of a figure's table at most

struct Rows {
  std::vector<double> x;
  std::vector<std::vector<double>> columns;  // by series
};

Rows rows_of(const Plot& plot) {
  std::map<double, std::vector<double>> by_x;
  for (std::size_t s = 0; s < plot.series.size(); ++s) {
    const Series& series = plot.series[s];
    for (std::size_t i = 0; i < series.x.size(); ++i) {
      if (!std::isfinite(series.x[i])) continue;
      auto& row = by_x.try_emplace(series.x[i], plot.series.size(), kNone).first->second;
      row[s] = std::isfinite(series.y[i]) ? series.y[i] : kNoNumber;
    }
  }
  Rows all;
  all.columns.resize(plot.series.size());
  for (const auto& [x, row] : by_x) {
    all.x.push_back(x);
    for (std::size_t s = 0; s < row.size(); ++s) all.columns[s].push_back(row[s]);
  }
  const std::size_t most = std::clamp(kCells / std::max<std::size_t>(1, plot.series.size()),
                                      std::size_t{60}, kMostPoints);
  Rows rows;
  rows.columns.resize(plot.series.size());
  for (const std::size_t i : kept_places(all.columns, all.x.size(), most)) {
    rows.x.push_back(all.x[i]);
    for (std::size_t s = 0; s < all.columns.size(); ++s)
      rows.columns[s].push_back(all.columns[s][i]);
  }
  return rows;
}

struct Extent {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

Extent y_extent(const Plot& plot, const Rows& rows) {
  Extent y;
  for (std::size_t i = 0; i < rows.x.size(); ++i) {
    double sum = 0;
    for (const auto& column : rows.columns) {
      if (std::isfinite(column[i])) sum += column[i];
      if (!plot.stacked) y.add(column[i]);
    }
    if (plot.stacked) y.add(sum);
  }
  if (plot.from_zero || plot.stacked) y.add(0);
  return y;
}

struct Picture {
  const Plot& plot;
  const Rows& rows;
  Scaled x_by, y_by;
  Axis x, y;
  double px(double value) const { return kLeft + (kRight - kLeft) * x.place(value / x_by.factor); }
  double py(double value) const {
    return kBottom - (kBottom - kTop) * y.place(value / y_by.factor);
  }
};

Picture picture_of(const Plot& plot, const Rows& rows) {
  Extent x, y = y_extent(plot, rows);
  for (const double value : rows.x) x.add(value);
  if (plot.x_scale == Scale::kLinear && x.low > 0 && x.low < 0.2 * x.high) x.low = 0;
  const auto size = [](const Extent& e) {
    return e.low <= e.high ? std::max(std::abs(e.low), std::abs(e.high)) : 1.0;
  };
  Picture p{plot, rows, scaled(plot.x_unit, size(x)), scaled(plot.y_unit, size(y)), {}, {}};
  const bool no_log = !(y.low > 0);
  p.x = make_axis(x.low / p.x_by.factor, x.high / p.x_by.factor, plot.x_scale, 5);
  // The last step is where the axis ends: no tick beyond it.
  if (plot.x_scale == Scale::kLinear && x.low < x.high) {
    p.x.high = x.high / p.x_by.factor;
    std::erase_if(p.x.ticks, [&](double tick) { return tick > p.x.high * (1 + 1e-9); });
  }
  p.y = make_axis(y.low / p.y_by.factor, y.high / p.y_by.factor,
                  no_log ? Scale::kLinear : plot.y_scale, 5);
  return p;
}

std::string axes(const Picture& p) {
  std::string svg;
  for (const double tick : p.y.ticks) {
    const double y = p.py(tick * p.y_by.factor);
    svg += svg_line(kLeft, y, kRight, y, "grid");
    svg += svg_text(kLeft - 5, y + 4, "tick end", tick_text(p.y, tick));
  }
  for (const double tick : p.x.ticks) {
    const double x = p.px(tick * p.x_by.factor);
    svg += svg_line(x, kBottom, x, kBottom + 4, "axis");
    svg += svg_text(x, kBottom + 17, "tick middle", tick_text(p.x, tick));
  }
  svg += svg_line(kLeft, kBottom, kRight, kBottom, "axis");
  svg += svg_text(4, 13, "label yl", axis_label(p.plot.y_name, p.y_by.unit));
  svg += svg_text(kRight, kHeight - 5, "label xl end", axis_label(p.plot.x_name, p.x_by.unit));
  return svg;
}

std::string curve(const Picture& p, std::size_t s) {
  const Series& series = p.plot.series[s];
  const std::vector<double>& column = p.rows.columns[s];
  const auto points = static_cast<std::size_t>(
      std::ranges::count_if(column, [](double v) { return std::isfinite(v); }));
  Path path;
  bool pen_down = false;
  std::string dots;
  for (std::size_t i = 0; i < column.size(); ++i) {
    if (std::isnan(column[i])) continue;
    if (!std::isfinite(column[i])) {
      pen_down = false;
      continue;
    }
    const double x = p.px(p.rows.x[i]), y = p.py(column[i]);
    pen_down ? path.line(x, y) : path.move(x, y);
    pen_down = true;
    if (points <= kFewPoints)
      dots += fmt::format("<circle cx={} cy={} r=2.6 />", coordinate(x), coordinate(y));
  }
  const std::string classes = colour_class(series.colour, series.dashed);
  std::string svg = fmt::format("<path class=\"curve {}\" d=\"{}\"/>\n", classes, path.d());
  if (!dots.empty()) svg += fmt::format("<g class=\"dot {}\">{}</g>\n", classes, dots);
  return svg;
}

std::string areas(const Picture& p) {
  std::vector<double> below(p.rows.x.size(), 0);
  std::string svg;
  for (std::size_t s = 0; s < p.plot.series.size(); ++s) {
    std::vector<double> above = below;
    for (std::size_t i = 0; i < above.size(); ++i)
      if (std::isfinite(p.rows.columns[s][i])) above[i] += p.rows.columns[s][i];
    Path path;
    for (std::size_t i = 0; i < above.size(); ++i) {
      const double x = p.px(p.rows.x[i]), y = p.py(above[i]);
      i == 0 ? path.move(x, y) : path.line(x, y);
    }
    for (std::size_t i = above.size(); i-- > 0;) path.line(p.px(p.rows.x[i]), p.py(below[i]));
    path.close();
    svg += fmt::format("<path class=\"area {}\" d=\"{}\"/>\n",
                       colour_class(p.plot.series[s].colour), path.d());
    below = std::move(above);
  }
  return svg;
}

std::string marks(const Picture& p) {
  std::string svg;
  for (const Mark& mark : p.plot.marks) {
    const double place = p.x.place(mark.x / p.x_by.factor);
    if (!(place >= 0 && place <= 1)) continue;
    const std::string x = coordinate(kLeft + (kRight - kLeft) * place);
    svg += fmt::format(
        "<path class=mark d=\"M{} {}V{}\"><title>{}</title></path>"
        "<path class=markhead d=\"M{} {}l-4-7h8z\"><title>{}</title></path>\n",
        x, kTop, kBottom, text(mark.text), x, kTop, text(mark.text));
  }
  return svg;
}

// Values in the units of the axes' names, not of their prefixes: as the files have them.
std::string values_table(const Plot& plot, const Rows& rows) {
  Table table;
  table.head.push_back(axis_label(plot.x_name, plot.x_unit.symbol));
  for (const Series& series : plot.series)
    table.head.push_back(axis_label(series.name, plot.y_unit.symbol));
  for (std::size_t i = 0; i < rows.x.size(); ++i) {
    std::vector<std::string> row{digits(rows.x[i], 10)};
    for (const auto& column : rows.columns)
      row.push_back(std::isnan(column[i]) ? "" : digits(column[i]));
    table.rows.push_back(std::move(row));
  }
  return table_html(table);
}

}  // namespace

std::string axis_label(const std::string& name, const std::string& unit) {
  return fmt::format("{} [{}]", name, unit);
}

std::string colour_class(int colour, bool dashed) {
  const int pattern = dashed ? 1 + colour / 8 % 2 : colour < 8 ? 0 : 2 + colour / 8 % 2;
  return fmt::format("c{} p{}", colour % 8, pattern);
}

std::string legend_entry(const std::string& name, const std::string& classes, bool area) {
  const char* shape = area ? "M0 0h22v12H0z" : "M0 6h22";
  return fmt::format(
      "<li><svg viewBox=\"0 0 22 12\" aria-hidden=true><path class=\"{} {}\" d=\"{}\"/></svg>{}\n",
      area ? "area" : "curve", classes, shape, text(name));
}

std::string frame_html(const std::string& title, const std::string& svg, const std::string& legend,
                       const std::string& table) {
  return fmt::format(
      "<figure><figcaption>{}</figcaption>\n{}</svg>\n<ul class=legend>{}</ul>\n{}</figure>\n",
      text(title), svg, legend, details_html("Values", table));
}

std::string figure_html(const Plot& plot, int id) {
  const Rows rows = rows_of(plot);
  if (rows.x.empty()) return "";
  const Picture p = picture_of(plot, rows);
  // For the script that reads values: where the x axis lies.
  const std::string attributes =
      fmt::format(" class=plot data-low={} data-high={} data-scale={} data-factor={}",
                  digits(p.x.low, 10), digits(p.x.high, 10),
                  p.x.scale == Scale::kLinear ? "linear" : "log", digits(p.x_by.factor, 10));
  std::string svg = svg_begin(id, kHeight, plot.title, plot.about, attributes) + axes(p);
  std::string legend;
  if (plot.stacked) svg += areas(p);
  for (std::size_t s = 0; s < plot.series.size(); ++s) {
    if (!plot.stacked) svg += curve(p, s);
    legend +=
        legend_entry(plot.series[s].name,
                     colour_class(plot.series[s].colour, plot.series[s].dashed), plot.stacked);
  }
  svg += marks(p);
  if (!plot.marks.empty())
    legend +=
        "<li><svg viewBox=\"0 0 22 12\" aria-hidden=true><path class=markhead "
        "d=\"M11 10l-4-7h8z\"/></svg>event\n";
  return frame_html(plot.title, svg, legend, values_table(plot, rows));
}

}  // namespace lockstep::report
