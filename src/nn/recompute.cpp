#include "nn/recompute.h"

#include <algorithm>

namespace lockstep::nn {

Repeats find_repeats(const Lowered& lowered, const std::vector<std::unique_ptr<ops::Op>>& ops,
                     Recompute recompute) {
  const int n = static_cast<int>(ops.size());
  Repeats out;
  out.again.assign(n, false);
  out.kept.assign(lowered.alias.size(), true);
  if (recompute == Recompute::kNone) return out;
  int last_block = 0;
  for (const OpSpec& spec : lowered.ops) last_block = spec.block > 0 ? spec.block : last_block;
  // Who, by block, reads a value after the forward pass; from the end, so that the repeats that
  // read it are known.
  const std::size_t values = lowered.alias.size();
  std::vector<bool> needed(values, false), needed_elsewhere(values, false);
  needed_elsewhere[lowered.alias[lowered.loss_input]] = true;
  std::vector<int> block_of(values, 0);
  for (const OpSpec& spec : lowered.ops) block_of[spec.output] = spec.block;
  const auto reads = [&](const OpSpec& spec) {
    for (const int input : spec.inputs) {
      const int v = lowered.alias[input];
      needed[v] = true;
      if (block_of[v] != spec.block) needed_elsewhere[v] = true;
    }
  };
  for (int end = n; end > 0;) {
    const int block = lowered.ops[end - 1].block;
    int first = end - 1;
    while (first > 0 && lowered.ops[first - 1].block == block) --first;
    for (int i = first; i < end; ++i) {
      const OpSpec& spec = lowered.ops[i];
      if (!spec.needs_backward) continue;
      if (ops[i]->backward_needs_inputs()) reads(spec);
      if (ops[i]->backward_needs_output()) needed[spec.output] = true;
    }
    for (int i = end - 1; i >= first && block > 0 && block != last_block; --i) {
      const OpSpec& spec = lowered.ops[i];
      if (needed_elsewhere[spec.output]) continue;
      out.kept[spec.output] = false;
      const bool saves = spec.needs_backward && ops[i]->saved_bytes() > 0;
      if (!needed[spec.output] && !saves) continue;
      out.again[i] = true;
      reads(spec);
    }
    end = first;
  }
  return out;
}

}  // namespace lockstep::nn
