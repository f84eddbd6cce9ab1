// Curves over a common axis, and stacked bars, as figures of a page: a picture in SVG that needs no
// script, its legend, and a table of the values that were drawn. Knows no runs.
#pragma once
#include <string>
#include <vector>

#include "report/numbers.h"

namespace lockstep::report {

struct Series {
  std::string name;
  int colour = 0;  // of the palette; beyond its end colours come again, dashed
  bool dashed = false;
  std::vector<double> x, y;  // a y that is no number leaves a gap
};

struct Mark {
  double x = 0;
  std::string text;
};

struct Plot {
  std::string title, about;  // about: a sentence for those who do not see the picture
  std::string x_name, y_name;
  Unit x_unit, y_unit;
  Scale x_scale = Scale::kLinear, y_scale = Scale::kLinear;
  bool from_zero = false;  // the y axis
  bool stacked = false;    // areas on each other, all over the same x
  std::vector<Series> series;
  std::vector<Mark> marks;  // on the x axis
};

// Rows of the table, and points of a curve, at most; fewer where there are many curves.
constexpr std::size_t kMostPoints = 1000;

struct Part {  // of every bar
  std::string name;
  int colour = 0;
  std::vector<double> values;  // by bar
};

struct Bars {
  std::string title, about;
  std::string bar_name;  // what a bar stands for: "rank", "run"
  std::string value_name;
  Unit unit;
  std::vector<std::string> bars;  // their names
  bool numbered = false;          // names are short: bars stand; else they lie below their names
  std::vector<Part> parts;        // stacked in this order
};

// id: of this figure in the page.
std::string figure_html(const Plot& plot, int id);
std::string figure_html(const Bars& bars, int id);

// Shared by both.
std::string axis_label(const std::string& name, const std::string& unit);  // "time [ms]"
std::string frame_html(const std::string& title, const std::string& svg, const std::string& legend,
                       const std::string& table);
std::string legend_entry(const std::string& name, const std::string& classes, bool area);
// classes of a palette's entry
std::string colour_class(int colour, bool dashed = false);

}  // namespace lockstep::report
