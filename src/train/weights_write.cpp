#include <algorithm>
#include <nlohmann/json.hpp>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/safetensors.h"
#include "lockstep/device/device.h"
#include "lockstep/train/checkpoint.h"
#include "lockstep/train/weights.h"
#include "train/checkpoint_index.h"
#include "train/weight_names.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

class Values : public SafeTensorsSource {
 public:
  Values(const std::vector<WeightName>& names, const ParameterTable& table, const float* flat)
      : names_(names), table_(table), flat_(flat) {}

  void values(std::size_t tensor, std::span<float> out) override {
    const WeightName& name = names_[tensor];
    const Parameter& p = table_[name.parameter];
    const auto width = static_cast<std::int64_t>(out.size()) / std::max<std::int64_t>(1, name.rows);
    const float* const from = flat_ + p.offset + name.first_row * width;
    for (std::int64_t r = 0; r < name.rows; ++r)
      for (std::int64_t c = 0; c < width; ++c)
        out[name.transposed ? c * name.rows + r : r * width + c] = from[r * width + c];
  }

 private:
  const std::vector<WeightName>& names_;
  const ParameterTable& table_;
  const float* flat_;
};

std::int64_t extent(const ParameterTable& table, const std::string& parameter, int dimension) {
  const int index = table.find(parameter);
  LOCKSTEP_CHECK(index >= 0, "no parameter {}", parameter);
  return table[index].shape[dimension];
}

std::int64_t count_blocks(const ParameterTable& table) {
  std::int64_t blocks = 0;
  while (table.find(fmt::format("block{}.norm1.weight", blocks)) >= 0) ++blocks;
  return blocks;
}

// What transformers' AutoModelForCausalLM.from_pretrained() asks of a folder.
nlohmann::json config_json(WeightLayout layout, const Run& run, const ParameterTable& table) {
  const nn::PresetOptions& preset = run.model.preset;
  const std::int64_t width = extent(table, "tokens.weight", 1);
  const bool gpt2_124m = preset.preset == "gpt2-124m";
  const std::int64_t heads = gpt2_124m ? 12 : preset.heads;
  nlohmann::json json = {{"vocab_size", extent(table, "tokens.weight", 0)},
                         {"tie_word_embeddings", table.find("output.weight") < 0},
                         {"dtype", "float32"}};
  if (layout == WeightLayout::kGpt2) {
    json.update({{"model_type", "gpt2"},
                 {"architectures", {"GPT2LMHeadModel"}},
                 {"activation_function", "gelu_new"},
                 {"n_layer", count_blocks(table)},
                 {"n_embd", width},
                 {"n_head", heads},
                 {"n_inner", extent(table, "block0.up.weight", 0)},
                 {"n_positions", extent(table, "positions.weight", 0)},
                 {"layer_norm_epsilon", 1e-5},
                 {"resid_pdrop", preset.dropout},
                 {"embd_pdrop", preset.dropout},
                 {"attn_pdrop", preset.dropout}});
  } else {
    json.update({{"model_type", "llama"},
                 {"architectures", {"LlamaForCausalLM"}},
                 {"hidden_act", "silu"},
                 {"num_hidden_layers", count_blocks(table)},
                 {"hidden_size", width},
                 {"intermediate_size", extent(table, "block0.down.weight", 1)},
                 {"num_attention_heads", heads},
                 {"num_key_value_heads", preset.kv_heads > 0 ? preset.kv_heads : heads},
                 {"head_dim", width / heads},
                 {"max_position_embeddings", run.data.sequence},
                 {"rms_norm_eps", 1e-5},
                 {"rope_theta", preset.rotary},
                 {"attention_bias", false},
                 {"mlp_bias", false}});
  }
  return json;
}

void prepare_folder(const fs::path& folder, bool overwrite) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    throw UserError("cannot make the folder {}: {}; name one that can be written", folder.string(),
                    error.message());
  const fs::path file = folder / "model.safetensors";
  if (!overwrite && fs::exists(file, error))
    throw UserError("{} is there already; name another folder, or replace it with --overwrite",
                    file.string());
}

}  // namespace

std::size_t export_weights(comm::Communicator& communicator, const fs::path& checkpoint,
                           const Run& run, const fs::path& folder, bool overwrite) {
  CheckpointIndex index;
  communicator.together([&] {
    index = read_index(checkpoint);
    if (communicator.rank() == 0) prepare_folder(folder, overwrite);
  });
  const Buffer flat = cpu_device().allocate(
      static_cast<std::size_t>(index.table.flat_elements()) * sizeof(float), "parameters");
  State state{&index.table, {{"parameters", flat.as<float>()}}, {}};
  read_checkpoint(communicator, checkpoint, state, ReadScope::kListed);

  const WeightLayout layout =
      run.model.layers.empty() ? layout_of(run.model.preset.preset) : WeightLayout::kOwn;
  const auto names = weight_names(layout, run.model.preset, index.table);
  communicator.together([&] {
    if (communicator.rank() != 0) return;
    std::vector<SafeTensor> tensors;
    for (const WeightName& name : names) tensors.push_back({name.name, "F32", name.shape});
    Values values(names, index.table, flat.as<float>());
    write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}}, values);
    if (layout != WeightLayout::kOwn)
      write_file_atomically(folder / "config.json",
                            config_json(layout, run, index.table).dump(2) + "\n");
  });
  return names.size();
}

}  // namespace lockstep::train
