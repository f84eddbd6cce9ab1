#include "report/svg.h"

#include <fmt/format.h>

#include <cmath>

#include "report/html.h"

namespace lockstep::report {
namespace {

std::string tenths(long value) {
  const std::string sign = value < 0 ? "-" : "";
  const long size = std::labs(value);
  if (size % 10 == 0) return fmt::format("{}{}", sign, size / 10);
  return size < 10 ? fmt::format("{}.{}", sign, size)
                   : fmt::format("{}{}.{}", sign, size / 10, size % 10);
}

// A number that begins with a minus sign needs no space before it.
std::string pair_text(long x, long y) { return tenths(x) + (y < 0 ? "" : " ") + tenths(y); }

}  // namespace

std::string coordinate(double value) { return tenths(std::lround(10 * value)); }

std::string svg_begin(int id, double height, const std::string& title, const std::string& about,
                      const std::string& attributes) {
  return fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=img tabindex=0 aria-labelledby=\"t{} d{}\"{}>"
      "<title id=t{}>{}</title><desc id=d{}>{}</desc>\n",
      kWidth, coordinate(height), id, id, attributes, id, text(title), id, text(about));
}

std::string svg_text(double x, double y, std::string_view classes, std::string_view content) {
  return fmt::format("<text x={} y={} class=\"{}\">{}</text>\n", coordinate(x), coordinate(y),
                     classes, text(content));
}

std::string svg_line(double x1, double y1, double x2, double y2, std::string_view classes) {
  return fmt::format("<path class=\"{}\" d=\"M{} {}L{} {}\"/>\n", classes, coordinate(x1),
                     coordinate(y1), coordinate(x2), coordinate(y2));
}

void Path::move(double x, double y) {
  x_ = std::lround(10 * x);
  y_ = std::lround(10 * y);
  d_ += "M" + pair_text(x_, y_);
}

void Path::line(double x, double y) {
  const long to_x = std::lround(10 * x), to_y = std::lround(10 * y);
  d_ += "l" + pair_text(to_x - x_, to_y - y_);
  x_ = to_x;
  y_ = to_y;
}

}  // namespace lockstep::report
