#include "report/html.h"

namespace lockstep::report {

std::string text(std::string_view raw) {
  std::string out;
  for (const char c : raw) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        // Control characters are no text; a page must not hold NUL.
        out += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? ' ' : c;
    }
  }
  return out;
}

// End tags that HTML lets out are left out: most of a page are cells.
std::string table_html(const Table& table) {
  std::string html = "<div class=scroll tabindex=0><table";
  if (!table.numbers) html += " class=words";
  html += ">";
  if (!table.caption.empty()) html += "<caption>" + text(table.caption) + "</caption>";
  if (!table.head.empty()) {
    html += "<thead><tr>";
    for (const std::string& cell : table.head) html += "<th scope=col>" + text(cell);
    html += "</thead>";
  }
  html += "<tbody>";
  for (const auto& row : table.rows) {
    html += "\n<tr>";
    for (std::size_t i = 0; i < row.size(); ++i)
      html += (i == 0 ? "<th scope=row>" : "<td>") + text(row[i]);
  }
  return html + "</table></div>\n";
}

std::string details_html(const std::string& summary, const std::string& content, bool open) {
  return std::string(open ? "<details open>" : "<details>") + "<summary>" + text(summary) +
         "</summary>\n" + content + "</details>\n";
}

}  // namespace lockstep::report
