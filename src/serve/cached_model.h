// A token model that reads a text once: keys and values of the tokens so far are kept, so that one
// more token costs one token's work. Knows no files and no text.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "lockstep/device/device.h"
#include "lockstep/nn/program.h"
#include "train/host_tensors.h"

namespace lockstep::serve {

class CachedModel {
 public:
  // context: tokens that it can read in all.
  CachedModel(Device& device, const std::vector<nn::LayerSpec>& layers, std::int64_t outputs,
              std::int64_t context, ops::Precision precision);

  const ParameterTable& table() const { return program_.table(); }
  // In the host's memory, to be filled before ready() is called.
  float* parameters() { return host_.tensors().front().data; }
  void ready();

  std::int64_t position() const { return position_; }  // tokens read
  std::int64_t context() const { return context_; }
  // Reads on; returns the logits of the token after these, [outputs], valid until the next call.
  // tokens: at least one, and no more than fit the context.
  std::span<const float> read(std::span<const std::int32_t> tokens);

 private:
  void read_one(std::int32_t token);
  // Reads from the start of a long text as many whole pieces as leave a token; returns how many
  // tokens.
  std::size_t read_pieces(std::span<const std::int32_t> tokens);

  Device& device_;
  const std::vector<nn::LayerSpec> layers_;
  const std::int64_t outputs_, context_;
  const ops::Precision precision_;
  nn::Program program_;  // one token at a time
  Buffer flat_;
  train::HostTensors host_;
  std::int64_t position_ = 0;
};

}  // namespace lockstep::serve
