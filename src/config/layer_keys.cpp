#include "config/options.h"

namespace lockstep::config {

// kind comes first: it decides which of the other keys a layer has.
const std::vector<Option<nn::LayerSpec>>& layer_keys() {
#define AT(member) \
  [](auto& layer) -> auto& { return layer.member; }
  using nn::LayerSpec;
  static const std::vector<Option<LayerSpec>> all = [] {
    const Texts windows{"conv", "max_pool", "average_pool"};
    const auto key = [](std::string name, auto at, std::string help) {
      return option<LayerSpec>(std::move(name), at, std::move(help));
    };
    std::vector<Option<LayerSpec>> t;
    t.push_back(key("kind", AT(kind), "What the layer computes.")
                    .one_of(nn::layer_kinds())
                    .not_empty()
                    .needed());
    t.push_back(
        key("name", AT(name), "Name for other layers' inputs. Empty: kind and number (conv1)."));
    t.push_back(key("inputs", AT(inputs),
                    "Names of earlier layers (\"input\" is the data). Empty: the layer before."));
    t.push_back(key("out", AT(out),
                    "Output features or channels; width of an embedding. 0: the outputs of the "
                    "model.")
                    .at_least(0)
                    .only("kind", {"linear", "conv", "embedding"}));
    t.push_back(key("vocabulary", AT(vocabulary),
                    "Rows of the table, one for each token. 0: the outputs of the model.")
                    .at_least(0)
                    .only("kind", {"embedding"}));
    t.push_back(key("context", AT(context),
                    "Rows of the table: the longest sequence. 0: the tokens of a sample.")
                    .at_least(0)
                    .only("kind", {"positions"}));
    t.push_back(key("heads", AT(heads), "Heads of the queries; they divide the width.")
                    .at_least(1)
                    .only("kind", {"attention"}));
    t.push_back(key("kv_heads", AT(kv_heads),
                    "Heads of keys and values, each shared by heads / kv_heads. 0: heads.")
                    .at_least(0)
                    .only("kind", {"attention"}));
    t.push_back(key("causal", AT(causal), "A token sees itself and those before it.")
                    .only("kind", {"attention"}));
    t.push_back(key("rotary", AT(rotary),
                    "Base of the rotation of queries and keys by position (10000). 0: none.")
                    .at_least(0)
                    .only("kind", {"attention"}));
    t.push_back(key("tied", AT(tied), "Embedding layer whose weight this layer shares.")
                    .only("kind", {"linear"}));
    t.push_back(key("kernel", AT(kernel), "One number for all dimensions, or one each.")
                    .at_least(1)
                    .needed()
                    .not_empty()
                    .only("kind", windows));
    t.push_back(key("stride", AT(stride), "As kernel. Empty: 1 for conv, the kernel for pools.")
                    .at_least(1)
                    .only("kind", windows));
    t.push_back(key("padding", AT(padding), "As kernel, on both sides. Empty: 0.")
                    .at_least(0)
                    .only("kind", windows));
    t.push_back(key("groups", AT(groups), "Groups of channels that do not see each other.")
                    .at_least(1)
                    .only("kind", {"conv"}));
    t.push_back(key("bias", AT(bias), "Add a learned bias.").only("kind", {"linear", "conv"}));
    t.push_back(key("rate", AT(rate), "Probability that a value is dropped.")
                    .in({0, 1, false, true})
                    .needed({"dropout"})
                    .only("kind", {"dropout", "attention"}));
    t.push_back(key("deviation", AT(deviation),
                    "Standard deviation of normal first weights. 0: the kind's own.")
                    .at_least(0)
                    .only("kind", {"linear", "embedding", "positions"}));
    t.push_back(key("epsilon", AT(epsilon), "Added to the variance. 0: the kind's own default.")
                    .at_least(0)
                    .only("kind", {"batch_norm", "layer_norm", "rms_norm"}));
    t.push_back(key("block", AT(block),
                    "Number of the block for train.recompute = \"block\"; layers that follow one "
                    "another with the same number are one. 0: none.")
                    .between(0, 1000000));
    t.push_back(key("slope", AT(slope), "Factor of negative values.").only("kind", {"leaky_relu"}));
    return t;
  }();
#undef AT
  return all;
}

}  // namespace lockstep::config
