// Weights of a model in the form that other programs read: safetensors, with the names and shapes of
// the Hugging Face layouts of GPT-2 and Llama for the decoder presets.
#pragma once
#include <cstdint>
#include <filesystem>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/parameter_table.h"
#include "lockstep/train/run.h"

namespace lockstep::train {

// Writes folder/model.safetensors and, for the presets gpt, gpt2-124m and llama, folder/config.json.
// run: the one stored in the checkpoint. Returns the number of tensors. Throws UserError if the
// folder holds a model.safetensors already and overwrite is false, or cannot be written.
// Collective; one rank writes.
std::size_t export_weights(comm::Communicator& communicator,
                           const std::filesystem::path& checkpoint, const Run& run,
                           const std::filesystem::path& folder, bool overwrite);

// Reads the first values of all parameters: flat[table.flat_elements()]. file: safetensors, or a
// folder with a model.safetensors. Names as export_weights() writes them; the prefix "transformer."
// or "model." may be absent. Statistics that the file lacks keep their values. Throws UserError
// naming the tensors that are missing, too many, or of another shape, DataError for a damaged file
// or a value that is not finite.
void read_weights(const std::filesystem::path& file, const nn::PresetOptions& preset,
                  const ParameterTable& table, float* flat);

}  // namespace lockstep::train
