// The values that a run's parameters begin with.
#include <algorithm>

#include "lockstep/core/log.h"
#include "lockstep/train/weights.h"
#include "train/trainer.h"

namespace lockstep::train {

// From the seed, or from a file; a checkpoint that is resumed takes their place.
void Trainer::first_values() {
  const ParameterTable& table = session_.model.program.table();
  const FlatTensor& parameters = session_.host.tensors().front();
  if (parameters.holders == nullptr) {
    table.initialise(run_.train.seed, parameters.data);
    if (!request_.init_from.empty()) read_first_values(table, parameters.data);
    return;
  }
  // Into memory of its own, of which the blocks that this position holds are taken.
  Buffer all;
  if (!request_.init_from.empty()) {
    all = cpu_device().allocate(static_cast<std::size_t>(table.flat_elements()) * sizeof(float),
                                "first values");
    table.initialise(run_.train.seed, all.as<float>());
    read_first_values(table, all.as<float>());
  }
  for (int b = 0; b < static_cast<int>(table.blocks().size()); ++b) {
    if ((*parameters.holders)[b] != communicator_.topology().position) continue;
    const Block& block = table.blocks()[b];
    if (all.bytes() == 0) {
      table.initialise(run_.train.seed, b, parameters.data);
    } else {
      std::copy_n(all.as<float>() + block.begin, block.elements, parameters.data + block.begin);
    }
  }
}

void Trainer::read_first_values(const ParameterTable& table, float* flat) {
  nn::PresetOptions preset = run_.model.preset;
  if (!run_.model.layers.empty()) preset.preset.clear();
  communicator_.together([&] { read_weights(request_.init_from, preset, table, flat); });
  log::info("the first values of the parameters are those of {}", request_.init_from);
}

}  // namespace lockstep::train
