// The measures of a picture, and shortest texts of coordinates.
#pragma once
#include <string>
#include <string_view>

namespace lockstep::report {

// Of a width that is legible one to one on a phone; wide screens put several side by side.
constexpr double kWidth = 420, kHeight = 250;
constexpr double kLeft = 50, kRight = 408, kTop = 26, kBottom = 208;

std::string coordinate(double value);  // one decimal at most
// Opens an element `svg` whose attributes come from here alone, with its title and description.
std::string svg_begin(int id, double height, const std::string& title, const std::string& about,
                      const std::string& attributes);
std::string svg_text(double x, double y, std::string_view classes, std::string_view content);
std::string svg_line(double x1, double y1, double x2, double y2, std::string_view classes);

// A path of straight lines, coordinates relative to the point before.
class Path {
 public:
  void move(double x, double y);
  void line(double x, double y);
  void close() { d_ += "z"; }
  const std::string& d() const { return d_; }

 private:
  std::string d_;
  long x_ = 0, y_ = 0;  // tenths
};

}  // namespace lockstep::report
