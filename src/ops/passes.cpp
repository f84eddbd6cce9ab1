#include "ops/passes.h"

#include "lockstep/core/error.h"

namespace lockstep::ops {
namespace {

void check_row_norm(std::int64_t rows, std::int64_t channels, std::int64_t samples) {
  LOCKSTEP_CHECK(rows > 0 && channels > 0 && samples > 0 && rows % samples == 0,
                 "norm of {} x {} in {} samples", rows, channels, samples);
}

void check_elements(const char* what, std::int64_t elements, std::int64_t samples) {
  LOCKSTEP_CHECK(elements > 0 && samples > 0 && elements % samples == 0,
                 "{} of {} elements in {} samples", what, elements, samples);
}

Cost row_norm_cost(std::int64_t rows, std::int64_t channels) {
  const double n = static_cast<double>(rows * channels);
  return {8 * n, 14 * n, 8 * n, 12 * n};
}

}  // namespace

void check(const BatchNorm& d) {
  LOCKSTEP_CHECK(d.rows > 0 && d.channels > 0, "batch norm of {} x {}", d.rows, d.channels);
  LOCKSTEP_CHECK(d.activation == Activation::kRelu || d.activation == Activation::kNone,
                 "batch norm fuses relu only");
}
void check(const LayerNorm& d) { check_row_norm(d.rows, d.channels, d.samples); }
void check(const RmsNorm& d) { check_row_norm(d.rows, d.channels, d.samples); }
void check(const Activate& d) {
  LOCKSTEP_CHECK(d.activation != Activation::kNone, "activation none of {}", d.elements);
  check_elements("activation", d.elements, d.samples);
  if (!(d.slope >= 0)) throw UserError("leaky_relu has slope {}; it must be 0 or more", d.slope);
}
void check(const Add& d) {
  check_elements("sum", d.elements, d.samples);
  LOCKSTEP_CHECK(d.activation == Activation::kRelu || d.activation == Activation::kNone,
                 "add fuses relu only");
}
void check(const Dropout& d) {
  check_elements("dropout", d.elements, d.samples);
  if (!(d.rate >= 0 && d.rate < 1))
    throw UserError("dropout has rate {}; it must be at least 0 and less than 1", d.rate);
}
void check(const Positions& d) {
  LOCKSTEP_CHECK(d.samples > 0 && d.tokens > 0 && d.width > 0, "positions of {} x {} x {}",
                 d.samples, d.tokens, d.width);
  LOCKSTEP_CHECK(d.context >= d.tokens, "{} positions for {} tokens", d.context, d.tokens);
}
void check(const SwiGlu& d) {
  LOCKSTEP_CHECK(d.rows > 0 && d.width > 0 && d.samples > 0 && d.rows % d.samples == 0,
                 "swiglu of {} x {} in {} samples", d.rows, d.width, d.samples);
}

void check_has_variance(const BatchNorm& d) {
  if (d.rows >= 2) return;
  throw UserError(
      "batch norm over {} channels sees one value of each channel in a microbatch and has no "
      "variance; use a larger batch or fewer lanes",
      d.channels);
}
void check_position(const Positions& d, std::int64_t position) {
  LOCKSTEP_CHECK(position >= 0 && position + d.tokens <= d.context,
                 "tokens [{}, {}) of a context of {}", position, position + d.tokens, d.context);
}

Cost cost_of(const BatchNorm& d) {
  const double n = static_cast<double>(d.rows * d.channels), residual = d.residual ? 4 * n : 0;
  return {8 * n, 12 * n, 12 * n + residual, 20 * n + 2 * residual};
}
Cost cost_of(const LayerNorm& d) { return row_norm_cost(d.rows, d.channels); }
Cost cost_of(const RmsNorm& d) { return row_norm_cost(d.rows, d.channels); }
Cost cost_of(const Activate& d) {
  const double n = static_cast<double>(d.elements);
  const bool plain = d.activation == Activation::kRelu || d.activation == Activation::kLeakyRelu;
  const double flops = plain ? 1 : 25;  // about: an exponential and a division
  return {flops * n, flops * n, 8 * n, 12 * n};
}
Cost cost_of(const Add& d) {
  const double n = static_cast<double>(d.elements);
  const bool relu = d.activation == Activation::kRelu;
  return {n, relu ? 2 * n : 0, 12 * n, (relu ? 24 : 16) * n};
}
Cost cost_of(const Dropout& d) {
  const double n = static_cast<double>(d.elements);
  return {n, n, 8 * n, 8 * n};
}
Cost cost_of(const Positions& d) {
  const double n = static_cast<double>(d.samples * d.tokens * d.width);
  return {n, n, 8 * n, 8 * n};
}
Cost cost_of(const SwiGlu& d) {
  const double n = static_cast<double>(d.rows * d.width);
  return {26 * n, 32 * n, 12 * n, 20 * n};  // an exponential and a division: about 25
}

bool derives_from_output(Activation activation) {
  switch (activation) {
    case Activation::kRelu:
    case Activation::kLeakyRelu:
    case Activation::kTanh:
    case Activation::kSigmoid:
      return true;
    default:
      return false;
  }
}

}  // namespace lockstep::ops
