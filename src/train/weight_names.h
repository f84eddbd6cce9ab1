// What the weights of a model are called in files of other programs, and how they lie there: the
// Hugging Face layouts of GPT-2 and Llama for the decoder presets, the model's own names for all
// others. Knows nothing of files.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/core/parameter_table.h"
#include "lockstep/nn/model.h"

namespace lockstep::train {

// One tensor of such a file: rows [first_row, first_row + rows) of a parameter (its first
// dimension), or their transpose.
struct WeightName {
  std::string name;  // "transformer.h.0.attn.c_attn.weight"
  int parameter = 0;
  std::int64_t first_row = 0, rows = 0;
  bool transposed = false;  // [in, out] in the file, where ours is [out, in]
  Shape shape;              // in the file
};

enum class WeightLayout : std::uint8_t { kOwn, kGpt2, kLlama };
// Of a preset; kOwn for layers of one's own and presets that have no such layout.
WeightLayout layout_of(const std::string& preset);
std::string_view name_of(WeightLayout layout);

// In the order of the table; together they hold every parameter once. Statistics come with kOwn
// alone. preset: with the sizes that the table was made with.
std::vector<WeightName> weight_names(WeightLayout layout, const nn::PresetOptions& preset,
                                     const ParameterTable& table);

// The same name without the prefix that some files leave away ("transformer.", "model.").
std::string_view without_prefix(WeightLayout layout, std::string_view name);
// Whether a tensor of such a file is no weight (masks, rotary frequencies) or a second name of a tied
// one.
bool is_no_weight(WeightLayout layout, bool tied, std::string_view name);

}  // namespace lockstep::train
