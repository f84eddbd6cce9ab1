#include "ops/cost.h"

#include "ops/pool_geometry.h"

namespace lockstep::ops {

bool keeps_activation_input(const Linear& d) {
  if (d.activation == Activation::kRelu) return d.dropout > 0 || d.residual;
  return d.activation != Activation::kNone;
}

bool changes_gradient(const Linear& d) {
  return d.activation != Activation::kNone || d.dropout > 0;
}

Cost cost_of(const Linear& d) {
  const double rows = d.rows, in = d.in, out = d.out, bias = d.bias ? out : 0;
  const double product = 2 * rows * in * out, x = rows * in, y = rows * out, w = in * out;
  const double kept = keeps_activation_input(d) ? y : 0, residual = d.residual ? y : 0;
  const double data = d.need_d_input ? 1 : 0;
  Cost cost;
  cost.forward_flops = product + rows * bias;
  cost.forward_bytes = sizeof(float) * (x + y + w + bias + kept + residual);
  cost.backward_flops = (1 + data) * product + rows * bias;
  cost.backward_bytes =
      sizeof(float) * (x + y * (changes_gradient(d) ? 2 : 1) + w + bias + data * (x + w));
  return cost;
}

Cost cost_of(const Convolution& c) {
  const Shape out = output_shape(c);
  double w = static_cast<double>(c.out_channels) * (c.input[-1] / c.groups);
  for (const std::int64_t k : c.kernel) w *= k;
  const double x = c.input.elements(), y = out.elements(), rows = y / c.out_channels;
  const double product = 2 * rows * w, bias = c.bias ? c.out_channels : 0;
  const bool relu = c.activation == Activation::kRelu;
  Cost cost;
  cost.forward_flops = product + (c.bias ? y : 0);
  cost.forward_bytes = sizeof(float) * (x + y + w + bias);
  cost.backward_flops = (c.need_d_input ? 2 : 1) * product + (c.bias ? y : 0);
  cost.backward_bytes =
      sizeof(float) * (x + y * (relu ? 2 : 1) + w + bias + (c.need_d_input ? x + w : 0));
  return cost;
}

Cost cost_of(const Pool& p) {
  const double x = p.input.elements(), y = output_shape(p).elements();
  double window = 1;
  for (const std::int64_t k : p.kernel) window *= static_cast<double>(k);
  const double winners = p.kind == PoolKind::kMax ? winner_bytes(p) * y : 0;
  const double bytes = sizeof(float) * (x + y) + winners;
  return {y * window, y * window, bytes, bytes};
}

Cost cost_of(const Embedding& d) {
  const double n = static_cast<double>(d.rows * d.width);
  const double table = static_cast<double>(d.vocabulary * d.width);
  return {0, n, 8 * n, 12 * n + 4 * table};
}

Cost cost_of(const LinearCrossEntropy& d) {
  const double rows = d.rows, in = d.in, classes = d.classes;
  const double product = 2 * rows * in * classes, x = rows * in, w = in * classes;
  return {product, 2 * product, sizeof(float) * (x + w), sizeof(float) * (2 * x + 2 * w)};
}

}  // namespace lockstep::ops
