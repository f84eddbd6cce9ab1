// Results as tables of at most 100 columns, one for each group.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/results_table.h"
#include "lockstep/core/units.h"

namespace lockstep::bench {
namespace {

constexpr std::size_t kWidth = 100, kLeastName = 12;

// Three digits that count.
std::string digits(double value) {
  const double size = std::fabs(value);
  if (!std::isfinite(value)) return fmt::format("{}", value);
  return size >= 99.95 ? fmt::format("{:.0f}", value)
                       : fmt::format("{:.{}f}", value, size >= 9.995 ? 1 : 2);
}

std::string with_prefix(double value, const std::string& unit) {
  constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T", "P"};
  int p = 0;
  while (std::fabs(value) >= 999.5 && p < 5) value /= 1e3, ++p;
  return fmt::format("{} {}{}", digits(value), kPrefixes[p], unit);
}

std::string time_text(double seconds) {
  if (!(seconds >= 0)) return "?";
  if (seconds < 1e-6) return digits(seconds * 1e9) + " ns";
  if (seconds < 1e-3) return digits(seconds * 1e6) + " us";
  if (seconds < 1) return digits(seconds * 1e3) + " ms";
  return digits(seconds) + " s";
}

using Cells = std::vector<std::string>;

// A group's table: heads and a line of cells for each row; the first column is the row's name.
struct Table {
  Cells heads;
  std::vector<Cells> lines;

  std::size_t width(std::size_t column) const {
    std::size_t most = heads[column].size();
    for (const Cells& line : lines) most = std::max(most, line[column].size());
    return most;
  }
};

bool is_timed(const Row& row) { return row.time.repetitions > 0; }

Cells cells_of(const Row& row, const std::vector<Column>& columns, bool times, bool ceilings) {
  Cells cells{row.name};
  if (times) {
    cells.push_back(is_timed(row) ? time_text(row.time.median) : "-");
    cells.push_back(is_timed(row) ? fmt::format("{:.0f} %", row.time.spread * 100) : "-");
  }
  for (const Column& c : columns) {
    const Figure* figure = c.of(row);
    cells.push_back(figure != nullptr ? figure_text(figure->value, figure->unit) : "");
  }
  if (ceilings) cells.push_back(row.of_ceiling > 0 ? figure_text(row.of_ceiling, "part") : "");
  cells.push_back(row.verified == "ok" || row.verified == "-" ? row.verified : "WRONG");
  return cells;
}

// Words, wrapped, its further lines indented.
std::string wrapped(const std::string& text, const std::string& first, const std::string& further) {
  std::string all, line = first;
  bool empty = true;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (!empty && line.size() + 1 + word.size() > kWidth) {
      all += line + "\n";
      line = further;
      empty = true;
    }
    line += (empty ? "" : " ") + word;
    empty = false;
    at = end + 1;
  }
  return all + line + "\n";
}

// A name that is too long for its column has a line of its own.
std::string text_of(const Table& table, const std::vector<Row>& rows) {
  std::size_t others = 0;
  for (std::size_t c = 1; c < table.heads.size(); ++c) others += 2 + table.width(c);
  const std::size_t room = kWidth > others + kLeastName ? kWidth - others : kLeastName;
  const std::size_t name = std::min(table.width(0), room);
  const auto line_of = [&](const Cells& cells) {
    std::string line = cells[0];
    if (line.size() > name) {
      line += '\n';
      line.append(name, ' ');
    } else {
      line.resize(name, ' ');
    }
    for (std::size_t c = 1; c < cells.size(); ++c)
      line += fmt::format("  {:>{}}", cells[c], table.width(c));
    return line + "\n";
  };
  std::string text = line_of(table.heads);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    text += line_of(table.lines[i]);
    if (table.lines[i].back() == "WRONG") text += wrapped(rows[i].verified, "  WRONG: ", "    ");
  }
  return text;
}

// Figures beyond kWidth are left to CSV and JSON.
std::string group_text(const std::vector<Row>& rows) {
  std::vector<Column> columns = figure_columns(rows);
  const bool times = std::ranges::any_of(rows, is_timed);
  const bool ceilings = std::ranges::any_of(rows, [](const Row& r) { return r.of_ceiling > 0; });
  bool dropped = false;
  while (true) {
    Table table;
    table.heads = {rows.front().group};
    if (times) table.heads.insert(table.heads.end(), {"median", "spread"});
    for (const Column& c : columns) table.heads.push_back(c.name);
    if (ceilings) table.heads.push_back("ceiling");
    table.heads.push_back("verified");
    for (const Row& row : rows) table.lines.push_back(cells_of(row, columns, times, ceilings));
    std::size_t all = kLeastName;
    for (std::size_t c = 1; c < table.heads.size(); ++c) all += 2 + table.width(c);
    if (all > kWidth && !columns.empty()) {
      columns.pop_back();
      dropped = true;
      continue;
    }
    return text_of(table, rows) + (dropped ? "  (more figures: --csv, --json)\n" : "");
  }
}

}  // namespace

const Figure* Column::of(const Row& row) const {
  for (const Figure& figure : row.figures)
    if (figure.name == name && figure.unit == unit) return &figure;
  return nullptr;
}

std::vector<Column> figure_columns(const std::vector<Row>& rows) {
  std::vector<Column> columns;
  for (const Row& row : rows) {
    for (const Figure& figure : row.figures) {
      if (std::ranges::none_of(columns, [&](const Column& c) {
            return c.name == figure.name && c.unit == figure.unit;
          }))
        columns.push_back({figure.name, figure.unit});
    }
  }
  return columns;
}

std::string figure_text(double value, const std::string& unit) {
  const bool whole = value == std::floor(value) && std::fabs(value) < 1e15;
  if (unit.empty()) return whole ? fmt::format("{:.0f}", value) : digits(value);
  if (unit == "s") return time_text(value);
  if (unit == "B") return bytes_text(value);
  if (unit == "part") return digits(value * 100) + " %";
  return with_prefix(value, unit);
}

std::string Results::text() const {
  std::string text = title + "\n";
  std::size_t width = 0;
  for (const auto& [name, value] : facts) width = std::max(width, name.size());
  for (const auto& [name, value] : facts)
    text += wrapped(value, fmt::format("  {:<{}}  ", name, width), std::string(width + 4, ' '));
  std::vector<Row> group;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    group.push_back(rows[i]);
    if (i + 1 < rows.size() && rows[i + 1].group == rows[i].group) continue;
    text += '\n';
    text += group_text(group);
    group.clear();
  }
  if (!notes.empty()) text += "\n";
  for (const std::string& note : notes) text += wrapped(note, "  ", "    ");
  const auto wrong = std::ranges::count_if(
      rows, [](const Row& r) { return r.verified != "ok" && r.verified != "-"; });
  if (wrong > 0) text += fmt::format("\n{} of {} rows are WRONG\n", wrong, rows.size());
  return text;
}

}  // namespace lockstep::bench
