// A resolved run file line by line, as the program itself wrote it: to tell what runs differ in.
// Knows no TOML but that form.
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace lockstep::report {

// "train.batch" -> "128"; of a list's tables "model.layers 2, kind". In the order of the text.
std::vector<std::pair<std::string, std::string>> keys_of(const std::string& resolved_toml);

// Keys that do not have the same value everywhere, each with its values by text; "" where it is
// missing.
std::vector<std::pair<std::string, std::vector<std::string>>> differences(
    const std::vector<std::string>& resolved_tomls);

}  // namespace lockstep::report
