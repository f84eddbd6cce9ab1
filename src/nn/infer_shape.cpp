// What each kind of layer asks of its input, and the shape that it gives.
#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/ops/op.h"
#include "nn/graph.h"

namespace lockstep::nn {
namespace {

using Extents = std::vector<std::int64_t>;

bool is_pool(const std::string& kind) { return kind == "max_pool" || kind == "average_pool"; }

// One number stands for all spatial dimensions; none stands for `fallback`.
Extents expand(const Extents& given, int dimensions, std::int64_t fallback, const LayerSpec& spec,
               const char* what) {
  if (given.empty()) return Extents(dimensions, fallback);
  if (given.size() == 1) return Extents(dimensions, given[0]);
  if (static_cast<int>(given.size()) != dimensions)
    throw UserError(
        "layer '{}': {} has {} numbers for {} spatial dimensions; give one, or one each", spec.name,
        what, given.size(), dimensions);
  return given;
}

// The sample's shape as [spatial..., C] for a convolution or pool; a sample without a channel
// dimension (its rank is the kernel's) gets one channel.
Shape with_channels(const LayerSpec& spec, const Shape& in) {
  const bool bare = spec.kernel.size() > 1 && static_cast<int>(spec.kernel.size()) == in.rank();
  const Shape shape = bare ? in.append(1) : in;
  if (shape.rank() < 2 || shape.rank() > 4)
    throw UserError(
        "layer '{}' ({}) needs samples of [1 to 3 spatial dimensions, channels], not {}", spec.name,
        spec.kind, in.text());
  return shape;
}

Shape infer_window(LayerSpec& spec, Shape& in) {
  in = with_channels(spec, in);
  const int dimensions = in.rank() - 1;
  if (spec.kernel.empty())
    throw UserError("layer '{}' ({}) needs kernel = [...]", spec.name, spec.kind);
  spec.kernel = expand(spec.kernel, dimensions, 1, spec, "kernel");
  spec.padding = expand(spec.padding, dimensions, 0, spec, "padding");
  if (is_pool(spec.kind)) {
    if (spec.stride.empty()) spec.stride = spec.kernel;
    spec.stride = expand(spec.stride, dimensions, 1, spec, "stride");
    const auto kind = spec.kind == "max_pool" ? ops::PoolKind::kMax : ops::PoolKind::kAverage;
    return output_shape(ops::Pool{kind, in.prepend(1), spec.kernel, spec.stride, spec.padding})
        .drop_first();
  }
  spec.stride = expand(spec.stride, dimensions, 1, spec, "stride");
  if (spec.out < 1) throw UserError("layer '{}' (conv) needs out = number of channels", spec.name);
  if (spec.groups < 1 || in[-1] % spec.groups != 0 || spec.out % spec.groups != 0)
    throw UserError("layer '{}': groups = {} must divide its {} input and {} output channels",
                    spec.name, spec.groups, in[-1], spec.out);
  ops::Convolution c{in.prepend(1),          spec.out,   spec.kernel, spec.stride, spec.padding,
                     Extents(dimensions, 1), spec.groups};
  return output_shape(c).drop_first();
}

void check_rate(const LayerSpec& spec) {
  if (!(spec.rate >= 0 && spec.rate < 1))
    throw UserError("layer '{}': rate = {} is not in [0, 1)", spec.name, spec.rate);
}

void need_sequence(const LayerSpec& spec, const Shape& in) {
  if (in.rank() != 2)
    throw UserError("layer '{}' ({}) needs samples of [tokens, features], not {}", spec.name,
                    spec.kind, in.text());
}

Shape infer_embedding(LayerSpec& spec, const Shape& in, const GraphOptions& options) {
  if (spec.out < 1)
    throw UserError("layer '{}' (embedding) needs out = features of a token", spec.name);
  if (spec.vocabulary == 0) spec.vocabulary = options.outputs;
  return in.append(spec.out);
}

Shape infer_positions(LayerSpec& spec, const Shape& in, const GraphOptions& options) {
  need_sequence(spec, in);
  const std::int64_t tokens = std::max(in[0], options.cache);
  if (spec.context == 0) spec.context = tokens;
  if (spec.context < tokens)
    throw UserError(
        "layer '{}' (positions) has context = {}, but a sequence has {} tokens; use a larger "
        "context or shorter sequences",
        spec.name, spec.context, tokens);
  return in;
}

Shape infer_attention(LayerSpec& spec, const Shape& in, const GraphOptions& options) {
  need_sequence(spec, in);
  if (spec.kv_heads == 0) spec.kv_heads = spec.heads;
  if (spec.heads < 1 || spec.kv_heads < 1 || spec.heads % spec.kv_heads != 0)
    throw UserError("layer '{}': kv_heads = {} must divide heads = {}", spec.name, spec.kv_heads,
                    spec.heads);
  const std::int64_t parts = spec.heads + 2 * spec.kv_heads;
  if (in[1] % parts != 0)
    throw UserError(
        "layer '{}' (attention) needs queries of {} heads with keys and values of {}, so that {} "
        "must divide the {} features of its input; change heads, or the layer before",
        spec.name, spec.heads, spec.kv_heads, parts, in[1]);
  const std::int64_t width = in[1] / parts;
  if (spec.rotary != 0 && (width % 2 != 0 || !(spec.rotary > 0)))
    throw UserError(
        "layer '{}': rotary = {} turns pairs of features by powers of a positive base, and a head "
        "has {} features; use an even number, or rotary = 0",
        spec.name, spec.rotary, width);
  if (options.cache > 0 && !spec.causal)
    throw UserError("layer '{}': a model generates tokens only where causal = true", spec.name);
  check_rate(spec);
  return Shape{in[0], spec.heads * width};
}

Shape infer_linear(LayerSpec& spec, const Shape& in, const GraphOptions& options) {
  if (in.rank() < 1)
    throw UserError("layer '{}' (linear) needs samples of features, not one number", spec.name);
  if (spec.out == 0) spec.out = options.outputs;
  Shape out = in;
  out[-1] = spec.out;
  return out;
}

Shape infer_global_pool(LayerSpec& spec, const Shape& in) {
  if (in.rank() < 2)
    throw UserError("layer '{}' ({}) needs samples of [spatial..., channels], not {}", spec.name,
                    spec.kind, in.text());
  spec.kernel.assign(in.begin(), in.end() - 1);
  spec.stride = spec.kernel;
  spec.padding.assign(spec.kernel.size(), 0);
  return Shape{in[-1]};
}

Shape infer_swiglu(const LayerSpec& spec, const Shape& in) {
  if (in.rank() < 1 || in[-1] % 2 != 0)
    throw UserError(
        "layer '{}' (swiglu) needs an even number of features, gates and values, not samples of {}",
        spec.name, in.text());
  Shape out = in;
  out[-1] /= 2;
  return out;
}

Shape infer(LayerSpec& spec, std::vector<Shape>& in, const GraphOptions& options) {
  const std::string& kind = spec.kind;
  if (kind == "conv" || is_pool(kind)) return infer_window(spec, in[0]);
  if (kind == "linear") return infer_linear(spec, in[0], options);
  if (kind == "embedding") return infer_embedding(spec, in[0], options);
  if (kind == "positions") return infer_positions(spec, in[0], options);
  if (kind == "attention") return infer_attention(spec, in[0], options);
  if (kind == "swiglu") return infer_swiglu(spec, in[0]);
  if (kind == "flatten") return Shape{in[0].elements()};
  if (kind.starts_with("global_")) return infer_global_pool(spec, in[0]);
  if (kind == "add" && !(in[0] == in[1]))
    throw UserError("layer '{}' adds {} ('{}') to {} ('{}'); the shapes must be the same",
                    spec.name, in[0].text(), spec.inputs[0], in[1].text(), spec.inputs[1]);
  if (kind == "dropout") check_rate(spec);
  return in[0];
}

}  // namespace

Shape infer_shape(LayerSpec& spec, std::vector<Shape>& in, const GraphOptions& options) {
  try {
    return infer(spec, in, options);
  } catch (const UserError& e) {  // the ops' own refusals do not know the layer's name
    const std::string sentence = e.what();
    if (sentence.starts_with("layer '")) throw;
    throw UserError("layer '{}': {}", spec.name, sentence);
  }
}

}  // namespace lockstep::nn
