// A token model as a checkpoint describes it: all that generation needs, without a dataset.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

#include "lockstep/data/tokenizer.h"
#include "lockstep/device/device.h"
#include "lockstep/nn/model.h"
#include "lockstep/ops/op.h"
#include "lockstep/train/run.h"

namespace lockstep::train {

struct TokenModel {
  data::TokenizerModel tokenizer;
  std::vector<nn::LayerSpec> layers;  // with the sizes that the training data gave them
  std::int64_t vocabulary = 0;        // tokens that it was trained on
  std::int64_t outputs = 0;           // at least as many
  // Tokens that it sees at once: the rows of its position table, or the run's data.sequence.
  std::int64_t context = 0;
  ops::Precision precision = ops::Precision::kFp32;  // in force on the device
};

// run: the one stored in the checkpoint. Reads no parameters. Throws UserError for a model that was
// not trained on text, or that cannot go on with a text token by token; DataError for a checkpoint
// that does not say what it was trained on.
TokenModel read_token_model(const Run& run, const std::filesystem::path& checkpoint,
                            const Device& device);

}  // namespace lockstep::train
