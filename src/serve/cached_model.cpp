#include "serve/cached_model.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep::serve {
namespace {

// A long prompt is read by a program of its own, so many tokens at once: weights are then read from
// memory once for all of them. Making it costs less than a piece token by token.
constexpr std::int64_t kPiece = 64;

nn::ProgramOptions options_of(std::int64_t tokens, std::int64_t outputs, std::int64_t context,
                              ops::Precision precision) {
  nn::ProgramOptions options = nn::token_options(tokens, outputs);
  options.precision = precision;
  options.cache = context;
  return options;
}

std::int32_t* token_input(const nn::Program& program) {
  return reinterpret_cast<std::int32_t*>(program.input(0));
}

}  // namespace

CachedModel::CachedModel(Device& device, const std::vector<nn::LayerSpec>& layers,
                         std::int64_t outputs, std::int64_t context, ops::Precision precision)
    : device_(device),
      layers_(layers),
      outputs_(outputs),
      context_(context),
      precision_(precision),
      program_(device, layers, options_of(1, outputs, context, precision)),
      flat_(device.allocate(
          static_cast<std::size_t>(program_.table().flat_elements()) * sizeof(float),
          "parameters")),
      host_(device, program_.stream(0)) {
  program_.bind(flat_.as<float>());
  host_.add({"parameters", flat_.as<float>()}, program_.table().flat_elements());
}

void CachedModel::ready() {
  host_.store();
  program_.pack();
}

void CachedModel::read_one(std::int32_t token) {
  *token_input(program_) = token;
  program_.infer(0, position_++);
}

std::size_t CachedModel::read_pieces(std::span<const std::int32_t> tokens) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  if (position_ > 0 || count <= kPiece) return 0;
  nn::Program pieces(device_, layers_, options_of(kPiece, outputs_, context_, precision_));
  pieces.bind(flat_.as<float>());
  pieces.pack();
  for (; position_ + kPiece < count; position_ += kPiece) {
    std::copy_n(tokens.begin() + position_, kPiece, token_input(pieces));
    pieces.infer(0, position_);
  }
  program_.continue_from(pieces);
  return static_cast<std::size_t>(position_);
}

std::span<const float> CachedModel::read(std::span<const std::int32_t> tokens) {
  LOCKSTEP_CHECK(!tokens.empty(), "nothing to read");
  LOCKSTEP_CHECK(position_ + static_cast<std::int64_t>(tokens.size()) <= context_,
                 "{} more tokens than the context holds", tokens.size());
  for (const std::int32_t token : tokens.subspan(read_pieces(tokens))) read_one(token);
  return {program_.output(0), static_cast<std::size_t>(outputs_)};
}

}  // namespace lockstep::serve
