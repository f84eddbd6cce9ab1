// Training steps of a preset on numbers in memory, without a dataset: forward, backward, fold,
// AdamW, re-packing.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/hash.h"
#include "lockstep/parallel/strategy.h"
#include "lockstep/train/stepped_run.h"

namespace lockstep::bench {

struct PresetSettings {
  std::string model;                      // one of preset_models()
  std::int64_t batch = 0;                 // 0: the model's own
  std::int64_t lanes = 0;                 // 0: 8, or what divides the batch
  ops::Precision precision = ops::Precision::kFp32;
  nn::Recompute recompute = nn::Recompute::kNone;
};
// "mlp", "lenet", "resnet20", "gpt", "gpt2-124m", "gpt2-124m-1024", "llama", "cosmoflow": sizes as
// their papers, or docs/performance.md, have them.
const std::vector<std::string>& preset_models();
// With batch and lanes filled in. Throws UserError for a model that is none of them, or lanes that
// do not divide the batch.
PresetSettings complete(PresetSettings settings);

class PresetStep {
 public:
  // Collective. settings: complete. device outlives this.
  PresetStep(comm::Communicator& communicator, Device& device, const PresetSettings& settings);
  ~PresetStep();
  PresetStep(const PresetStep&) = delete;
  PresetStep& operator=(const PresetStep&) = delete;

  void step();
  void settle();
  Hash128 digest();
  train::StepTimes times() const;
  std::int64_t sequence() const;  // tokens of a sample; 0: no text
  double flops() const;           // of a step, of all lanes
  const nn::Program& program() const;

 private:
  class Runner;
  std::unique_ptr<Runner> runner_;
};

}  // namespace lockstep::bench
