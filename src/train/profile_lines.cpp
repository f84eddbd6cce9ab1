// profile.jsonl: a line is written once and read many times, so numbers are short.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/train/run_record.h"

namespace lockstep::train {
namespace {

// Seconds to a nanosecond, six digits at most; bytes whole.
std::string seconds_number(double value) {
  return std::isfinite(value) ? fmt::format("{:.6g}", std::round(value * 1e9) * 1e-9) : "null";
}
std::string bytes_number(double value) {
  return std::isfinite(value) ? fmt::format("{:.0f}", value) : "null";
}

std::string table(const std::map<std::string, std::vector<double>>& rows,
                  std::string (*number)(double)) {
  std::string text = "{";
  for (const auto& [name, values] : rows) {
    text += fmt::format("{}{}:[", text.size() > 1 ? "," : "", nlohmann::json(name).dump());
    for (std::size_t i = 0; i < values.size(); ++i) text += (i > 0 ? "," : "") + number(values[i]);
    text += "]";
  }
  return text + "}";
}

using Table = std::map<std::string, std::vector<double>>;

Table table_of(const nlohmann::json& json, std::size_t columns) {
  Table rows;
  for (const auto& [name, values] : json.items()) {
    std::vector<double>& row = rows[name];
    for (const auto& value : values) row.push_back(value.is_null() ? NAN : value.get<double>());
    if (row.size() != columns)
      throw DataError("\"{}\" has {} values for {} positions", name, row.size(), columns);
  }
  return rows;
}

ProfileLine line_of(const nlohmann::json& json) {
  ProfileLine line;
  json.at("step").get_to(line.step);
  json.at("steps").get_to(line.steps);
  json.at("seconds").get_to(line.seconds);
  json.at("at").get_to(line.at);
  json.at("positions").get_to(line.positions);
  line.phases = table_of(json.at("phases"), line.positions.size());
  if (json.contains("bytes")) line.bytes = table_of(json.at("bytes"), line.positions.size());
  return line;
}

}  // namespace

std::vector<int> profiled_positions(int ranks, int slowest) {
  std::vector<int> kept;
  if (ranks <= kProfiledRanks) {
    for (int p = 0; p < ranks; ++p) kept.push_back(p);
    return kept;
  }
  for (int i = 0; i < kProfiledRanks; ++i)
    kept.push_back(static_cast<int>(std::int64_t{i} * ranks / kProfiledRanks));
  // In the place of its neighbour below.
  const auto above = std::ranges::upper_bound(kept, slowest);
  *(above - 1) = slowest;
  return kept;
}

std::string profile_line_json(const ProfileLine& line) {
  return fmt::format(
      "{{\"step\":{},\"steps\":{},\"seconds\":{},\"at\":{:.3f},\"positions\":[{}],\"phases\":{},"
      "\"bytes\":{}}}\n",
      line.step, line.steps, seconds_number(line.seconds), line.at, fmt::join(line.positions, ","),
      table(line.phases, seconds_number), table(line.bytes, bytes_number));
}

std::vector<ProfileLine> read_profile(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  std::vector<ProfileLine> lines;
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    try {
      lines.push_back(
          line_of(nlohmann::json::parse(text.begin() + static_cast<std::ptrdiff_t>(at),
                                        text.begin() + static_cast<std::ptrdiff_t>(end))));
    } catch (const std::exception& error) {
      throw DataError("{}, line {}: {}; remove the line, or the file, to do without", file.string(),
                      lines.size() + 1, error.what());
    }
  }
  return lines;
}

}  // namespace lockstep::train
