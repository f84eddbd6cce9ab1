// From a resolved run and a dataset to what a training needs: which fields, which loss and metrics,
// which layers, which sizes. Every choice that the run file leaves open is made here, from the
// dataset's manifest alone.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/data/dataset.h"
#include "lockstep/data/loader.h"
#include "lockstep/nn/model.h"
#include "lockstep/nn/program.h"
#include "lockstep/ops/loss.h"
#include "lockstep/train/run.h"

namespace lockstep::train {

struct Task {
  const data::Field* input = nullptr;  // of the training split
  const data::Field* target = nullptr;
  Shape sample;  // of the input, as the model sees it
  ops::LossKind loss = ops::LossKind::kSoftmaxCrossEntropy;
  std::vector<std::string> metrics;
  std::int64_t outputs = 0;
  std::int64_t labels = 1;  // of a target of classes: one, one a token, or one a pixel
  std::int64_t microbatch = 0;
  std::int64_t sequence = 0;    // > 0: samples are so many tokens ...
  std::int64_t vocabulary = 0;  // ... in [0, vocabulary)
  bool tokens() const { return sequence > 0; }
  bool target_is_class() const { return loss == ops::LossKind::kSoftmaxCrossEntropy; }
};

// Whether the samples are sequences of tokens, as data::cut_sequences() makes them.
bool is_text(const data::Manifest& manifest);
// Throws UserError naming the run file's key and the dataset's fields where they do not fit.
// split: the one that is trained on, or evaluated.
Task make_task(const Run& run, const data::Manifest& manifest, const std::string& split);
// Throws UserError if the training split is smaller than a batch.
void check_batch(const Run& run, const data::Manifest& manifest);

// Throws UserError if an embedding has fewer rows than the data has tokens.
std::vector<nn::LayerSpec> make_layers(const Run& run, const Task& task);
// Microbatches that have memory at the same time: one for each thread, or for each lane that goes
// through a gathered layer together with others.
int program_streams(const Run& run);
bool holds_parameters(const Run& run);  // a use at a time: sharded, stage 3
parallel::Options parallel_options(const Run& run);
// precision: the one that is in force on this machine.
nn::ProgramOptions program_options(const Run& run, const Task& task, ops::Precision precision);
std::string split_names(const data::Manifest& manifest);  // "train, test"
// The split that training evaluates, or null: without one nothing is evaluated. Throws UserError if
// the run counts on it, by its own name for it or by early stopping.
const data::Split* validation_split(const Run& run, const data::Manifest& manifest);
// Throws UserError unless the split's samples have the shapes that the model was built for.
void check_split(const Task& task, const data::Manifest& manifest, const data::Split& split);
data::LoaderOptions loader_options(const Run& run, const Task& task, const std::string& split);

}  // namespace lockstep::train
