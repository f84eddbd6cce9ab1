// The one table: every option of a run file is declared in options.cpp or options_parallel.cpp
// (sections), in layer_keys.cpp ([[model.layers]]) or in data_keys.cpp ([[data.fields]],
// [[data.splits]]) and nowhere else.
#pragma once
#include <string>
#include <vector>

#include "config/declaration.h"
#include "lockstep/config/interval.h"
#include "lockstep/train/run.h"

namespace lockstep::config {

struct SectionTable {
  std::string name, help;
  std::vector<Option<train::Run>> options;
  const Option<train::Run>* find(const std::string& key) const;
  // What the option's `only_with` key holds in this run, as text.
  std::string deciding_value(const Option<train::Run>& o, const train::Run& run) const;
  bool applies(const Option<train::Run>& o, const train::Run& run) const;
};
const std::vector<SectionTable>& sections();
const SectionTable* find_section(const std::string& name);

// Keys of one [[model.layers]] table; only_for lists the kinds that have the key.
const std::vector<Option<nn::LayerSpec>>& layer_keys();
// Keys of one [[data.fields]] or [[data.splits]] table.
const std::vector<Option<data::FieldDescription>>& field_keys();
const std::vector<Option<data::SplitDescription>>& split_keys();
// "model.layers" and the others.
const std::vector<std::string>& list_names();
bool is_list(const std::string& name);

// "10min", "30s", "500steps", "1epoch", "end", "auto" and their likes (hours, plurals), in the form
// that the trainer reads: a number with s, min, steps or epoch, "end" or "auto". Throws UserError.
std::string checkpoint_interval(const std::string& text);

}  // namespace lockstep::config
