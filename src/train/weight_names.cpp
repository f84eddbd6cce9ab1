#include "train/weight_names.h"

#include <array>
#include <map>

#include "lockstep/core/error.h"

namespace lockstep::train {
namespace {

// Our layer, and what the file calls its tensors. Several names: the rows are cut, in this order.
struct Entry {
  const char* layer;
  std::vector<const char*> names;
  bool transposed = false;  // of the weight; GPT-2 keeps its linear weights as [in, out]
};

const std::vector<Entry>& block_entries(WeightLayout layout) {
  static const std::vector<Entry> gpt2{
      {"norm1", {"ln_1"}},           {"qkv", {"attn.c_attn"}, true},
      {"projection", {"attn.c_proj"}, true}, {"norm2", {"ln_2"}},
      {"up", {"mlp.c_fc"}, true},    {"down", {"mlp.c_proj"}, true}};
  static const std::vector<Entry> llama{
      {"norm1", {"input_layernorm"}},
      {"qkv", {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}},
      {"projection", {"self_attn.o_proj"}},
      {"norm2", {"post_attention_layernorm"}},
      {"gate_up", {"mlp.gate_proj", "mlp.up_proj"}},
      {"down", {"mlp.down_proj"}}};
  return layout == WeightLayout::kGpt2 ? gpt2 : llama;
}

const std::vector<Entry>& outer_entries(WeightLayout layout) {
  static const std::vector<Entry> gpt2{{"tokens", {"transformer.wte"}},
                                       {"positions", {"transformer.wpe"}},
                                       {"norm", {"transformer.ln_f"}},
                                       {"output", {"lm_head"}}};
  static const std::vector<Entry> llama{{"tokens", {"model.embed_tokens"}},
                                        {"norm", {"model.norm"}},
                                        {"output", {"lm_head"}}};
  return layout == WeightLayout::kGpt2 ? gpt2 : llama;
}

const char* block_prefix(WeightLayout layout) {
  return layout == WeightLayout::kGpt2 ? "transformer.h." : "model.layers.";
}

const char* prefix_of(WeightLayout layout) {
  return layout == WeightLayout::kGpt2 ? "transformer." : "model.";
}

// The rows of each tensor that a stacked weight is cut into.
std::vector<std::int64_t> cut(const std::string& layer, std::size_t parts, std::int64_t rows,
                              const nn::PresetOptions& preset) {
  if (parts == 1) return {rows};
  if (layer == "gate_up") return {rows / 2, rows / 2};
  const std::int64_t kv = preset.kv_heads > 0 ? preset.kv_heads : preset.heads;
  const std::int64_t head = rows / (preset.heads + 2 * kv);
  return {preset.heads * head, kv * head, kv * head};
}

const Entry* find(const std::vector<Entry>& entries, std::string_view layer) {
  for (const Entry& entry : entries)
    if (entry.layer == layer) return &entry;
  return nullptr;
}

void append(const Entry& entry, const std::string& before, const std::string& kind, int index,
            const Parameter& p, const nn::PresetOptions& preset, std::vector<WeightName>& names) {
  const bool transposed = entry.transposed && p.shape.rank() == 2;
  std::int64_t first = 0;
  const auto rows = cut(entry.layer, entry.names.size(), p.shape[0], preset);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Shape shape = p.shape.rank() == 2 ? Shape{rows[i], p.shape[1]} : Shape{rows[i]};
    if (transposed) shape = Shape{p.shape[1], rows[i]};
    names.push_back({before + entry.names[i] + kind, index, first, rows[i], transposed, shape});
    first += rows[i];
  }
}

// "block3.qkv.weight": {"block3.", "qkv", ".weight"}; "norm.bias": {"", "norm", ".bias"}.
struct Pieces {
  std::string block, layer, kind;
};
Pieces take_apart(const std::string& name) {
  const std::size_t kind = name.rfind('.');
  const std::string layer = name.substr(0, kind);
  const std::size_t block = layer.starts_with("block") ? layer.find('.') : std::string::npos;
  if (block == std::string::npos) return {"", layer, name.substr(kind)};
  return {layer.substr(5, block - 5), layer.substr(block + 1), name.substr(kind)};
}

}  // namespace

WeightLayout layout_of(const std::string& preset) {
  if (preset == "gpt" || preset == "gpt2-124m") return WeightLayout::kGpt2;
  return preset == "llama" ? WeightLayout::kLlama : WeightLayout::kOwn;
}

std::string_view name_of(WeightLayout layout) {
  constexpr std::array<std::string_view, 3> kNames{"own", "gpt2", "llama"};
  return kNames[static_cast<std::size_t>(layout)];
}

std::vector<WeightName> weight_names(WeightLayout layout, const nn::PresetOptions& preset,
                                     const ParameterTable& table) {
  std::vector<WeightName> names;
  for (int i = 0; i < table.size(); ++i) {
    const Parameter& p = table[i];
    if (layout == WeightLayout::kOwn) {
      const std::int64_t rows = p.shape.rank() > 0 ? p.shape[0] : 1;
      names.push_back({p.name, i, 0, rows, false, p.shape});
      continue;
    }
    const Pieces pieces = take_apart(p.name);
    const bool inside = !pieces.block.empty();
    const Entry* entry = find(inside ? block_entries(layout) : outer_entries(layout), pieces.layer);
    LOCKSTEP_CHECK(entry != nullptr, "the {} layout has no name for {}", name_of(layout), p.name);
    append(*entry, inside ? block_prefix(layout) + pieces.block + "." : std::string(), pieces.kind,
           i, p, preset, names);
  }
  return names;
}

std::string_view without_prefix(WeightLayout layout, std::string_view name) {
  const std::string_view prefix = layout == WeightLayout::kOwn ? "" : prefix_of(layout);
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

bool is_no_weight(WeightLayout layout, bool tied, std::string_view name) {
  if (layout == WeightLayout::kOwn) return false;
  if (tied && name == "lm_head.weight") return true;
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") ||
         name.ends_with(".rotary_emb.inv_freq");
}

}  // namespace lockstep::train
