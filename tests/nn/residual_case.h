// A convolutional model whose blocks are read from outside and in which layers without a block lie
// between.
#pragma once
#include "run_program.h"

namespace lockstep::nn {

// Residual blocks with batch norm and dropout; the first block's output is read by a later layer,
// and layers without a block lie between.
inline Case residual() {
  std::vector<LayerSpec> layers;
  int block = 0;
  const auto append = [&](LayerSpec spec) {
    spec.block = block;
    layers.push_back(std::move(spec));
  };
  const auto conv = [&](const char* name, const char* input) {
    LayerSpec spec = spec_of("conv", name, {input});
    spec.out = 8, spec.kernel = {3, 3}, spec.padding = {1}, spec.bias = false;
    append(spec);
  };
  LayerSpec dropout = spec_of("dropout", "d", {"t"});
  dropout.rate = 0.25;
  conv("stem", "input");
  block = 1;
  conv("c1", "stem");
  append(spec_of("batch_norm", "b1", {"c1"}));
  append(spec_of("relu", "r1"));
  conv("c2", "r1");
  append(spec_of("batch_norm", "b2", {"c2"}));
  append(spec_of("add", "a1", {"b2", "stem"}));
  block = 0;
  append(spec_of("tanh", "t", {"a1"}));
  block = 5;
  append(dropout);
  conv("c2.5", "d");  // read by forward ops alone, of which the second comes later
  append(spec_of("tanh", "u1"));
  append(spec_of("sigmoid", "u2"));
  append(spec_of("add", "u3", {"u2", "c2.5"}));
  conv("c3", "u3");
  append(spec_of("batch_norm", "b3", {"c3"}));
  append(spec_of("sigmoid", "s3"));
  append(spec_of("add", "a2", {"s3", "t"}));
  block = 2;
  conv("c4", "a2");
  append(spec_of("batch_norm", "b4"));
  append(spec_of("add", "a3", {"b4", "a1"}));
  append(spec_of("relu", "r3"));
  block = 0;
  append(spec_of("global_average_pool", "pool", {"r3"}));
  append(spec_of("linear", "output"));
  ProgramOptions options;
  options.sample = Shape{9, 7, 2}, options.microbatch = 6, options.outputs = 3;
  return {"residual", layers, options};
}

}  // namespace lockstep::nn
