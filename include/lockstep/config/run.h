// Run files to typed options, and the one table that declares every option. Only config and app
// know CLI11 and the TOML parser.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "lockstep/train/run.h"

namespace lockstep::config {

// One row per option: the only place where an option is declared. Feeds the parser, --help, man
// pages, completion, docs/run-file.md and the resolved print.
struct OptionRow {
  std::string section, name, type;  // type: "integer", "number", "text", "yes/no", "list of ..."
  std::string default_text, range, help;
  std::vector<std::string> words;  // the only values allowed, when not empty
  std::string only;                // "kind = sgd": the option means something only then
};
const std::vector<OptionRow>& option_rows();

// Reads a run file and applies overrides ("section.key=value"). Throws UserError: file, line and
// the nearest known key for an unknown one; type and range for a bad value.
train::Run read_run(const std::filesystem::path& file, const std::vector<std::string>& overrides);
train::Run parse_run(const std::string& toml, const std::string& name,
                     const std::vector<std::string>& overrides);
// What a run needs before it can be trained: data and a model. Throws UserError naming the file.
void check_complete(const train::Run& run, const std::string& name);
// The whole resolved run as TOML, defaults included; parse_run of it gives the same run.
std::string resolved_toml(const train::Run& run);

}  // namespace lockstep::config
