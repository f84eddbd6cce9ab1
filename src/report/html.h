// Pieces of HTML. Texts of others go through text() alone, so that none of them is markup.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::report {

std::string text(std::string_view raw);  // escaped for content and for quoted attributes

// A table that scrolls sideways by itself. Cells are texts, not markup; the first column names rows
// and the others are numbers if `numbers` says so.
struct Table {
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  bool numbers = true;
  std::string caption;
};
std::string table_html(const Table& table);
std::string details_html(const std::string& summary, const std::string& content, bool open = false);

}  // namespace lockstep::report
