#include "tests/ptx/libraries/cudnn_engines.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace lockstep::stand_in {
namespace {

constexpr auto kForward = CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
constexpr auto kData = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
constexpr auto kFilter = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;

using Numbers = std::vector<std::int64_t>;

struct Names {
  cudnnBackendAttributeName_t convolution, x, w, y;
};
Names names_of(cudnnBackendDescriptorType_t operation) {
  if (operation == kForward)
    return {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
  if (operation == kData)
    return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY};
  return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};
}

// Missing spatial dimensions have extent 1.
ConvolutionProblem::Tensor tensor_of(const Descriptor& d) {
  const Numbers dimensions = d.all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
  const Numbers strides = d.all<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
  ConvolutionProblem::Tensor t{};
  t.dimensions.fill(1);
  std::copy(dimensions.begin(), dimensions.end(), t.dimensions.begin());
  std::copy(strides.begin(), strides.end(), t.strides.begin());
  t.name = d.one<std::int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID);
  t.alignment = d.one<std::int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
  return t;
}

std::array<std::int64_t, 3> three(const Numbers& numbers, std::int64_t otherwise) {
  std::array<std::int64_t, 3> all;
  all.fill(otherwise);
  std::copy(numbers.begin(), numbers.end(), all.begin());
  return all;
}

const Engine kBackwards{1, {}, {}, 0, false, true};

bool worst_first() {
  const char* list = std::getenv("LOCKSTEP_EMULATION_WORST_FIRST");
  return list != nullptr && (std::string_view(list) == "cudnn" || std::string_view(list) == "1");
}

bool channels_last(const ConvolutionProblem::Tensor& t) { return t.strides[1] == 1; }

}  // namespace

bool shapes_fit(const Descriptor& operation) {
  const Names names = names_of(operation.type);
  const auto x = tensor_of(operation.child(names.x)), w = tensor_of(operation.child(names.w)),
             y = tensor_of(operation.child(names.y));
  const Descriptor& c = operation.child(names.convolution);
  const auto stride = three(c.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES), 1);
  const auto before = three(c.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS), 0);
  const auto behind = three(c.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS), 0);
  const auto dilation = three(c.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS), 1);
  if (x.dimensions[0] != y.dimensions[0] || w.dimensions[0] != y.dimensions[1]) return false;
  if (x.dimensions[1] % w.dimensions[1] != 0) return false;
  if (w.dimensions[0] % (x.dimensions[1] / w.dimensions[1]) != 0) return false;
  for (int i = 0; i < 3; ++i) {
    const std::int64_t reach = dilation[i] * (w.dimensions[i + 2] - 1) + 1;
    const std::int64_t room = x.dimensions[i + 2] + before[i] + behind[i] - reach;
    if (room < 0 || room / stride[i] + 1 != y.dimensions[i + 2]) return false;
  }
  return true;
}

std::optional<ConvolutionProblem> problem_of(const Descriptor& operation) {
  const Names names = names_of(operation.type);
  const Descriptor& c = operation.child(names.convolution);
  const auto type = [&](cudnnBackendAttributeName_t name) {
    return operation.child(name).one<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE);
  };
  ConvolutionProblem p;
  p.operation = operation.type;
  p.type = type(names.x);
  if (type(names.w) != p.type || type(names.y) != p.type) return std::nullopt;
  if (p.type != CUDNN_DATA_FLOAT && p.type != CUDNN_DATA_BFLOAT16) return std::nullopt;
  if (c.one<cudnnDataType_t>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT ||
      c.one<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION)
    return std::nullopt;
  p.x = tensor_of(operation.child(names.x));
  p.w = tensor_of(operation.child(names.w));
  p.y = tensor_of(operation.child(names.y));
  p.stride = three(c.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES), 1);
  p.padding = three(c.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS), 0);
  p.dilation = three(c.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS), 1);
  return p;
}

std::vector<Engine> engines_for(const ConvolutionProblem& p, int capability,
                                cudnnBackendHeurMode_t mode) {
  const bool bf16 = p.type == CUDNN_DATA_BFLOAT16;
  if (bf16 && capability < 80) return {};
  if (mode == CUDNN_HEUR_MODE_FALLBACK)
    return {{0, {CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP}, {}, 0, false}};
  if (mode != CUDNN_HEUR_MODE_A) return {};
  if (!channels_last(p.x) || !channels_last(p.w) || !channels_last(p.y)) return {};
  std::vector<Engine> engines;
  if (!bf16 && capability >= 80)  // TF32
    engines.push_back({48, {CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, {}, 0, true});
  if (p.operation == kFilter)
    engines.push_back({20, {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}, {}, 0, true});
  if (p.w.dimensions[2] == 3 && p.w.dimensions[3] == 3)
    engines.push_back({5, {CUDNN_NUMERICAL_NOTE_WINOGRAD}, {}, 1 << 16, true});
  const std::int64_t step = bf16 ? 8 : 4;
  if (p.x.dimensions[1] % step == 0 && p.y.dimensions[1] % step == 0) {
    Engine tiled{
        34, {}, {{CUDNN_KNOB_TYPE_TILE_SIZE, 3}, {CUDNN_KNOB_TYPE_KERNEL_CFG, 17}}, 9000, false};
    if (bf16) tiled.notes.push_back(CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
    engines.push_back(tiled);
  }
  if (worst_first()) engines.insert(engines.begin(), kBackwards);
  return engines;
}

std::optional<Engine> find_engine(const ConvolutionProblem& p, int capability, std::int64_t index) {
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
    for (const Engine& engine : engines_for(p, capability, mode))
      if (engine.index == index) return engine;
  if (index == kBackwards.index) return kBackwards;
  return std::nullopt;
}

}  // namespace lockstep::stand_in
