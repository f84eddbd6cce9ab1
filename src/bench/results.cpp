#include "lockstep/bench/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "bench/results_table.h"

namespace lockstep::bench {
namespace {

using Json = nlohmann::ordered_json;

bool is_right(const Row& row) { return row.verified == "ok" || row.verified == "-"; }

// RFC 4180: quoted where it must be, quotes doubled.
std::string cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

// The shortest digits that read back as the same double.
std::string cell(double value) { return fmt::format("{}", value); }

std::string line(const std::vector<std::string>& cells) {
  return fmt::format("{}\r\n", fmt::join(cells, ","));
}

}  // namespace

bool Results::all_verified() const { return std::ranges::all_of(rows, is_right); }

std::string Results::csv() const {
  const std::vector<Column> columns = figure_columns(rows);
  std::vector<std::string> heads{"group",   "name",   "verified",    "median [s]", "least [s]",
                                 "most [s]", "spread", "repetitions", "calls",      "of ceiling"};
  for (const Column& c : columns)
    heads.push_back(cell(c.unit.empty() ? c.name : fmt::format("{} [{}]", c.name, c.unit)));
  std::string text = line(heads);
  for (const Row& row : rows) {
    const Timing& t = row.time;
    std::vector<std::string> cells{cell(row.group), cell(row.name), cell(row.verified)};
    const bool timed = t.repetitions > 0;
    for (const double seconds : {t.median, t.least, t.most, t.spread})
      cells.push_back(timed ? cell(seconds) : "");
    for (const std::int64_t count : {t.repetitions, t.calls})
      cells.push_back(timed ? fmt::format("{}", count) : "");
    cells.push_back(row.of_ceiling > 0 ? cell(row.of_ceiling) : "");
    for (const Column& c : columns) {
      const Figure* figure = c.of(row);
      cells.push_back(figure != nullptr ? cell(figure->value) : "");
    }
    text += line(cells);
  }
  return text;
}

std::string Results::json() const {
  Json about = Json::object(), all = Json::array();
  for (const auto& [name, value] : facts) about[name] = value;
  for (const Row& row : rows) {
    Json json{{"group", row.group}, {"name", row.name}, {"verified", row.verified}};
    const Timing& t = row.time;
    if (t.repetitions > 0)
      json["seconds"] = {{"median", t.median}, {"least", t.least},
                         {"most", t.most},     {"spread", t.spread},
                         {"calls", t.calls},   {"repetitions", t.repetitions}};
    if (row.of_ceiling > 0) json["of_ceiling"] = row.of_ceiling;
    json["figures"] = Json::object();
    for (const Figure& figure : row.figures)
      json["figures"][figure.name] = {{"value", figure.value}, {"unit", figure.unit}};
    all.push_back(std::move(json));
  }
  const Json json{{"title", title}, {"facts", about}, {"rows", all}, {"notes", notes}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lockstep::bench
