#include "nn/fusion.h"

#include <algorithm>
#include <string_view>

namespace lockstep::nn {
namespace {

// Where a layer of this kind would join the chain; null: it cannot.
int* place_in(Chain& chain, std::string_view first, std::string_view kind) {
  const bool open = chain.add < 0;
  if (first == "linear") {
    if (kind == "add" && open) return &chain.add;
    if (kind == "dropout" && open && chain.dropout < 0) return &chain.dropout;
    const bool fuses = kind == "relu" || kind == "gelu" || kind == "gelu_tanh" || kind == "silu";
    return fuses && chain.last() == chain.first ? &chain.activation : nullptr;
  }
  if (first == "leaky_relu") return kind == "max_pool" && chain.pool < 0 ? &chain.pool : nullptr;
  if (first == "batch_norm" && kind == "add" && open && chain.activation < 0) return &chain.add;
  const bool takes_relu = first == "batch_norm" || first == "conv" || first == "add";
  return takes_relu && kind == "relu" && chain.activation < 0 ? &chain.activation : nullptr;
}

}  // namespace

int Chain::last() const { return std::max({first, activation, dropout, add, pool}); }

std::vector<Chain> find_chains(const Graph& graph) {
  std::vector<Chain> chains;
  const auto spec = [&](int layer) -> const LayerSpec& { return graph.layers[layer].spec; };
  const auto try_join = [&](int layer) {
    for (const int input : graph.layers[layer].inputs) {
      const Value& value = graph.values[input];
      if (value.producer < 0 || value.consumers.size() != 1) continue;
      if (spec(value.producer).block != spec(layer).block) continue;
      const auto chain = std::find_if(chains.begin(), chains.end(), [&](const Chain& c) {
        return c.last() == value.producer;
      });
      int* const place = place_in(*chain, spec(chain->first).kind, spec(layer).kind);
      if (place == nullptr) continue;
      *place = layer;
      return true;
    }
    return false;
  };
  for (int i = 0; i < static_cast<int>(graph.layers.size()); ++i) {
    if (!try_join(i)) chains.push_back({i});
  }
  std::sort(chains.begin(), chains.end(),
            [](const Chain& a, const Chain& b) { return a.last() < b.last(); });
  return chains;
}

}  // namespace lockstep::nn
