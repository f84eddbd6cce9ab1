#include <algorithm>
#include <bit>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "lockstep/core/error.h"
#include "lockstep/train/checkpoint.h"
#include "train/checkpoint_blocks.h"
#include "train/checkpoint_data.h"
#include "train/checkpoint_index.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using Entries = std::map<std::string, std::string>;

constexpr int kAlgorithmsShown = 5;

// Long texts from a little before the first character that differs.
std::string excerpt(const std::string& text, const std::string& other) {
  constexpr std::size_t kShown = 60, kBefore = 16;
  if (text.size() <= kShown) return text;
  const auto apart = std::ranges::mismatch(text, other).in1 - text.begin();
  const std::size_t begin =
      std::min(std::max<std::size_t>(apart, kBefore) - kBefore, text.size() - kShown);
  return (begin > 0 ? "..." : "") + text.substr(begin, kShown) +
         (begin + kShown < text.size() ? "..." : "");
}

// "  NAME is X in A and Y in B" for every name whose text differs, or for the first few.
std::string differences(const std::string& title, const Entries& a, const Entries& b,
                        int shown = std::numeric_limits<int>::max()) {
  std::string text;
  int found = 0;
  Entries all = a;
  all.insert(b.begin(), b.end());
  const auto value = [](const Entries& entries, const std::string& name) {
    const auto at = entries.find(name);
    return at == entries.end() ? "absent" : at->second;
  };
  for (const auto& [name, ignored] : all) {
    if (value(a, name) == value(b, name)) continue;
    if (++found > shown) continue;
    text += fmt::format("{}: {} is {} in A and {} in B\n", title, name,
                        excerpt(value(a, name), value(b, name)),
                        excerpt(value(b, name), value(a, name)));
  }
  if (found > shown) text += fmt::format("{}: {} more differ\n", title, found - shown);
  return text;
}

Entries progress_entries(const Progress& progress) {
  Entries entries;
  for (const auto& [name, value] : progress.integers) entries[name] = fmt::format("{}", value);
  for (const auto& [name, value] : progress.reals) entries[name] = fmt::format("{}", value);
  return entries;
}

Entries json_entries(const std::string& text) {
  Entries entries;
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return {{"text", text.empty() ? "absent" : text}};
  for (const auto& [name, value] : json.items()) {
    entries[name] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return entries;
}

// Of each problem the library's algorithm, which the environment has as one text of lines.
Entries take_algorithms(Entries& environment) {
  Entries entries;
  const auto node = environment.extract("algorithms");
  std::istringstream lines(node ? node.mapped() : "");
  for (std::string line; std::getline(lines, line);) {
    const std::size_t between = line.find(" = ");
    if (between != line.npos) entries[line.substr(0, between)] = line.substr(between + 3);
  }
  return entries;
}

// "section.key" -> value, line by line, of a resolved run (which has one key on each line).
Entries toml_entries(const std::string& text) {
  Entries entries;
  std::istringstream lines(text);
  std::string line, section;
  while (std::getline(lines, line)) {
    const std::size_t equals = line.find('=');
    if (line.starts_with('[')) {
      section = line.substr(1, line.find(']') - 1);
    } else if (equals != std::string::npos && !line.starts_with('#')) {
      std::string key = line.substr(0, equals), value = line.substr(equals + 1);
      key.erase(key.find_last_not_of(' ') + 1);
      value.erase(0, value.find_first_not_of(' '));
      entries[section.empty() ? key : section + "." + key] = value;
    }
  }
  return entries;
}

// The first element whose bits differ, of one block of both files.
std::string first_difference(const CheckpointIndex& a, const CheckpointIndex& b, int tensor,
                             int block) {
  const Block& where = a.table.blocks()[block];
  const Parameter& p = a.table[where.parameter];
  std::vector<float> x(where.elements), y(where.elements);
  CheckpointData(a).read(tensor, block, block + 1, x.data());
  CheckpointData(b).read(tensor, block, block + 1, y.data());
  for (std::int64_t i = 0; i < where.elements; ++i) {
    const auto bits_x = std::bit_cast<std::uint32_t>(x[i]),
               bits_y = std::bit_cast<std::uint32_t>(y[i]);
    if (bits_x == bits_y) continue;
    return fmt::format("{}: element [{}] is {} ({:#010x}) in A and {} ({:#010x}) in B",
                       block_text(a, tensor, block),
                       coordinates_text(p.shape, where.begin + i - p.offset), x[i], bits_x, y[i],
                       bits_y);
  }
  return block_text(a, tensor, block) + ": the stored hashes differ, the elements do not";
}

// Empty if all blocks are the same.
std::string tensor_differences(const CheckpointIndex& a, const CheckpointIndex& b) {
  const auto per_tensor = a.table.blocks().size();
  std::size_t first = a.hashes.size(), differ = 0;
  for (std::size_t i = 0; i < a.hashes.size(); ++i) {
    if (a.hashes[i] == b.hashes[i]) continue;
    first = std::min(first, i);
    ++differ;
  }
  if (differ == 0) return "";
  return fmt::format("first difference: {}\n{} of {} blocks differ\n",
                     first_difference(a, b, static_cast<int>(first / per_tensor),
                                      static_cast<int>(first % per_tensor)),
                     differ, a.hashes.size());
}

// Empty if both hold the same tensors of the same model.
std::string model_differences(const CheckpointIndex& a, const CheckpointIndex& b) {
  for (int i = 0; i < std::max(a.table.size(), b.table.size()); ++i) {
    const auto named = [i](const ParameterTable& t) {
      return i < t.size() ? t[i].name + " " + t[i].shape.text() : "absent";
    };
    if (named(a.table) == named(b.table)) continue;
    return fmt::format("other models: parameter {} is {} in A and {} in B\n", i + 1, named(a.table),
                       named(b.table));
  }
  if (a.tensors != b.tensors) {
    return fmt::format("other tensors: {} in A and {} in B\n", fmt::join(a.tensors, ", "),
                       fmt::join(b.tensors, ", "));
  }
  return "";
}

}  // namespace

Comparison compare_checkpoints(const fs::path& file_a, const fs::path& file_b) {
  check_checkpoint(file_a);
  check_checkpoint(file_b);
  const CheckpointIndex a = read_index(file_a), b = read_index(file_b);
  const auto step = [](const CheckpointIndex& index) {
    const auto at = index.progress.integers.find("step");
    return at == index.progress.integers.end() ? 0 : at->second;
  };
  Comparison result;
  result.text = fmt::format("A  {}  step {}  {}\nB  {}  step {}  {}\n", a.digest.text(), step(a),
                            file_a.string(), b.digest.text(), step(b), file_b.string());
  std::string what = model_differences(a, b);
  if (what.empty()) what = tensor_differences(a, b);
  what += differences("progress", progress_entries(a.progress), progress_entries(b.progress));
  result.equal = what.empty() && a.digest == b.digest;
  result.text += result.equal ? "equal: the same bits in every tensor and in all progress\n"
                              : "different\n" + what;
  result.text +=
      differences("run", toml_entries(a.text.resolved_run), toml_entries(b.text.resolved_run));
  Entries environment_a = json_entries(a.text.environment);
  Entries environment_b = json_entries(b.text.environment);
  result.text += differences("algorithm", take_algorithms(environment_a),
                             take_algorithms(environment_b), kAlgorithmsShown);
  result.text += differences("environment", environment_a, environment_b);
  return result;
}

}  // namespace lockstep::train
