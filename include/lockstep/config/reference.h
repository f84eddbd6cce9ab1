// What the option table says to people: rows for man pages and completion, and the whole table as
// text. Knows no values of a run but the defaults.
#pragma once
#include <string>
#include <vector>

#include "lockstep/config/run.h"

namespace lockstep::config {

struct SectionRow {
  std::string name, help;
};
const std::vector<SectionRow>& section_rows();  // in the order of the run file
const std::vector<OptionRow>& layer_rows();     // keys of [[model.layers]]
const std::vector<OptionRow>& field_rows();     // keys of [[data.fields]]
const std::vector<OptionRow>& split_rows();     // keys of [[data.splits]]

std::string options_text();      // plain text, for --help
std::string options_markdown();  // docs/run-file.md

}  // namespace lockstep::config
