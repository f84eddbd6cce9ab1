#include "report/run_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

namespace lockstep::report {

std::vector<std::pair<std::string, std::string>> keys_of(const std::string& resolved_toml) {
  std::vector<std::pair<std::string, std::string>> keys;
  std::map<std::string, int> tables;
  std::string section;
  std::istringstream lines(resolved_toml);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("[[") && line.ends_with("]]")) {
      const std::string name = line.substr(2, line.size() - 4);
      section = fmt::format("{} {}, ", name, ++tables[name]);
    } else if (line.starts_with("[") && line.ends_with("]")) {
      section = line.substr(1, line.size() - 2) + ".";
    } else if (const auto at = line.find(" = "); at != std::string::npos && line[0] != '#') {
      keys.emplace_back(section + line.substr(0, at), line.substr(at + 3));
    }
  }
  return keys;
}

std::vector<std::pair<std::string, std::vector<std::string>>> differences(
    const std::vector<std::string>& resolved_tomls) {
  std::vector<std::pair<std::string, std::vector<std::string>>> rows;
  std::map<std::string, std::size_t> row_of;
  for (std::size_t t = 0; t < resolved_tomls.size(); ++t) {
    for (auto& [key, value] : keys_of(resolved_tomls[t])) {
      const auto [at, first] = row_of.try_emplace(key, rows.size());
      if (first) rows.emplace_back(key, std::vector<std::string>(resolved_tomls.size()));
      rows[at->second].second[t] = value;
    }
  }
  std::erase_if(rows, [](const auto& row) {
    return std::ranges::all_of(row.second,
                               [&](const std::string& v) { return v == row.second.front(); });
  });
  return rows;
}

}  // namespace lockstep::report
