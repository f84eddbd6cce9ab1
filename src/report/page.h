// A page as it is put together: sections of figures and tables.
#pragma once
#include <string>
#include <vector>

#include "report/html.h"
#include "report/plot.h"

namespace lockstep::report {

class Page {
 public:
  // A section without content leaves no trace.
  void begin_section(const std::string& id, const std::string& title, const std::string& about);
  void add(const Plot& plot) { figures_ += figure_html(plot, ++id_); }
  void add(const Bars& bars) { figures_ += figure_html(bars, ++id_); }
  void add(const Table& table) { add_html(table_html(table)); }
  void add_html(const std::string& html);  // as wide as the page, behind the figures so far
  std::string html(const std::string& title, const std::string& header);

 private:
  void end_figures();
  void end_section();

  std::string body_, links_, figures_;
  std::string section_id_, section_title_, section_about_, section_;
  int id_ = 0;
};

extern const char* const kStyle;
extern const char* const kScript;

}  // namespace lockstep::report
