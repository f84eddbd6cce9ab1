#include "serve/cached_model.h"

#include "lockstep/core/error.h"

namespace lockstep::serve {
namespace {

nn::ProgramOptions options_of(std::int64_t outputs, std::int64_t context,
                              ops::Precision precision) {
  nn::ProgramOptions options;
  options.sample = Shape{1};
  options.outputs = outputs;
  options.tokens = true;
  options.precision = precision;
  options.cache = context;
  return options;
}

}  // namespace

CachedModel::CachedModel(const std::vector<nn::LayerSpec>& layers, std::int64_t outputs,
                         std::int64_t context, ops::Precision precision)
    : outputs_(outputs),
      context_(context),
      program_(cpu_device(), layers, options_of(outputs, context, precision)),
      flat_(cpu_device().allocate(
          static_cast<std::size_t>(program_.table().flat_elements()) * sizeof(float),
          "parameters")) {
  program_.bind(flat_.as<float>());
}

void CachedModel::ready() { program_.pack(); }

std::span<const float> CachedModel::read(std::span<const std::int32_t> tokens) {
  LOCKSTEP_CHECK(!tokens.empty(), "nothing to read");
  LOCKSTEP_CHECK(position_ + static_cast<std::int64_t>(tokens.size()) <= context_,
                 "{} more tokens than the context holds", tokens.size());
  for (const std::int32_t token : tokens) {
    *reinterpret_cast<std::int32_t*>(program_.input(0)) = token;
    program_.infer(0, position_++);
  }
  return {program_.output(0), static_cast<std::size_t>(outputs_)};
}

}  // namespace lockstep::serve
