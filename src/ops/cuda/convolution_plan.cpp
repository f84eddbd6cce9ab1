#include "ops/cuda/convolution_plan.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "device/cuda/cuda_call.h"
#include "lockstep/core/error.h"
#include "lockstep/ops/algorithms.h"

namespace lockstep::ops {
namespace {

constexpr std::string_view kNone = "none";  // recorded where cuDNN has nothing
constexpr std::size_t kWorkspace = 256 << 20;
constexpr std::int64_t kX = 1, kW = 2, kY = 3;  // names of the tensors in a plan

using Direction = ConvolutionPlan::Direction;
using Numbers = std::vector<std::int64_t>;

// cuDNN has no spatial dimension alone: a 1-D convolution is a 2-D one of height 1.
Numbers two_or_more(Numbers spatial, std::int64_t filler) {
  if (spatial.size() == 1) spatial.insert(spatial.begin(), filler);
  return spatial;
}

// Extents are named [N, C, spatial...] whatever their order in memory; here channels run fastest.
struct Extents {
  Numbers dimensions, strides;
};
Extents channels_last(std::int64_t n, std::int64_t channels, const Numbers& spatial) {
  Extents e;
  e.dimensions = {n, channels};
  e.dimensions.insert(e.dimensions.end(), spatial.begin(), spatial.end());
  e.strides.resize(e.dimensions.size());
  std::int64_t stride = 1;
  e.strides[1] = stride, stride *= channels;
  for (std::size_t i = e.dimensions.size() - 1; i >= 2; --i)
    e.strides[i] = stride, stride *= e.dimensions[i];
  e.strides[0] = stride;
  return e;
}
Extents activations(const Shape& shape) {
  Numbers spatial;
  for (int i = 1; i + 1 < shape.rank(); ++i) spatial.push_back(shape[i]);
  return channels_last(shape[0], shape[-1], two_or_more(spatial, 1));
}

CudnnDescriptor tensor(const Extents& extents, std::int64_t name, cudnnDataType_t type) {
  constexpr std::int64_t kAlignment = 16;  // bytes, of what run() is given
  CudnnDescriptor t(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
  t.set(CUDNN_ATTR_TENSOR_DIMENSIONS, extents.dimensions);
  t.set(CUDNN_ATTR_TENSOR_STRIDES, extents.strides);
  t.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, name);
  t.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment);
  t.finalize("a cuDNN tensor");
  return t;
}

CudnnDescriptor convolution(const Convolution& c) {
  const auto spatial = static_cast<std::int64_t>(two_or_more(c.kernel, 1).size());
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  const Numbers padding = two_or_more(c.padding, 0);
  CudnnDescriptor d(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  d.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  d.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  d.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, spatial);
  d.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, two_or_more(c.dilation, 1));
  d.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, two_or_more(c.stride, 1));
  d.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding);
  d.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding);
  d.finalize("a cuDNN convolution");
  return d;
}

// The graph API's names for one direction.
struct Names {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t alpha, beta, convolution, x, w, y;
};
Names names_of(Direction direction) {
  switch (direction) {
    case Direction::kForward:
      break;
    case Direction::kData:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY};
    case Direction::kWeights:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
}

// The graph last, behind the descriptors that it is made of. cuDNN tells the groups from the
// channels of x and w.
std::vector<CudnnDescriptor> graph_of(cudnnHandle_t handle, const Convolution& c,
                                      Direction direction, Precision precision) {
  const cudnnDataType_t type =
      precision == Precision::kBf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  const Extents weights =
      channels_last(c.out_channels, c.input[-1] / c.groups, two_or_more(c.kernel, 1));
  const Names names = names_of(direction);
  std::vector<CudnnDescriptor> made;
  made.push_back(convolution(c));
  made.push_back(tensor(activations(c.input), kX, type));
  made.push_back(tensor(weights, kW, type));
  made.push_back(tensor(activations(output_shape(c)), kY, type));
  CudnnDescriptor operation(names.operation);
  operation.set(names.convolution, made[0]);
  operation.set(names.x, made[1]);
  operation.set(names.w, made[2]);
  operation.set(names.y, made[3]);
  operation.set(names.alpha, 1.0f);
  operation.set(names.beta, 0.0f);
  operation.finalize("a cuDNN operation");
  CudnnDescriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
  graph.finalize("a cuDNN graph");
  made.push_back(std::move(operation));
  made.push_back(std::move(graph));
  return made;
}

std::string joined(const Numbers& numbers) { return fmt::format("{}", fmt::join(numbers, "x")); }

// One line, for Algorithms.
std::string problem_of(const Convolution& c, Direction direction, Precision precision) {
  constexpr std::array<std::string_view, 3> kDirections = {"forward", "data", "weights"};
  Numbers input;
  for (int i = 0; i < c.input.rank(); ++i) input.push_back(c.input[i]);
  return fmt::format("cudnn {} {} to {} kernel {} stride {} padding {} dilation {} groups {} {}",
                     kDirections[static_cast<std::size_t>(direction)], joined(input),
                     c.out_channels, joined(c.kernel), joined(c.stride), joined(c.padding),
                     joined(c.dilation), c.groups, name_of(precision));
}

// Of an engine: whether its results are what the contract asks for.
bool keeps_contract(const CudnnDescriptor& engine, bool exact) {
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes{};
  const std::int64_t count = engine.read(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                         CUDNN_TYPE_NUMERICAL_NOTE, notes.size(), notes.data());
  return std::none_of(notes.begin(), notes.begin() + count, [&](cudnnBackendNumericalNote_t note) {
    switch (note) {
      case CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP:
        return false;
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        return exact;
      default:
        return true;
    }
  });
}

// "engine 34 2=3 13=1": the engine and its knobs, type=value.
std::string text_of(const CudnnDescriptor& configuration, const CudnnDescriptor& engine) {
  std::string text = fmt::format("engine {}", engine.read_number(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
  for (const CudnnDescriptor& knob : configuration.read_descriptors(
           CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
           CUDNN_KNOB_TYPE_COUNTS)) {
    cudnnBackendKnobType_t type{};
    knob.read(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
    text += fmt::format(" {}={}", static_cast<int>(type),
                        knob.read_number(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
  }
  return text;
}

// Takes a number and the character behind it off the front.
std::int64_t take_number(std::string_view& text, std::string_view whole) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) throw DataError("'{}' is no engine of cuDNN", whole);
  text.remove_prefix(std::min<std::size_t>(end - text.data() + 1, text.size()));
  return number;
}

}  // namespace

ConvolutionPlan::ConvolutionPlan(const Device& device, const Convolution& c, Direction direction,
                                 Precision precision)
    : problem_(problem_of(c, direction, precision)),
      handle_(cudnn_handle(as_cuda(device))),
      exact_(precision == Precision::kFp32),
      graph_(graph_of(handle_, c, direction, precision)) {
  if (const auto recorded = algorithms().find(problem_)) {
    if (*recorded != kNone) use_recorded(*recorded);
    return;
  }
  choose();
  algorithms().record(problem_, available() ? fmt::format("{} {}", cudnnGetVersion(), engine_)
                                            : std::string(kNone));
}

// Makes the plan from its text, the way that a resumed run does.
cudnnStatus_t ConvolutionPlan::build(const std::string& text) {
  std::string_view left = text;
  if (!left.starts_with("engine ")) throw DataError("'{}' is no engine of cuDNN", text);
  left.remove_prefix(7);
  std::vector<CudnnDescriptor> made;
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  const auto finish = [&](CudnnDescriptor d) {
    if (status == CUDNN_STATUS_SUCCESS) status = d.try_finalize();
    made.push_back(std::move(d));
    return made.back().get();
  };
  CudnnDescriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph_.back());
  engine.set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, take_number(left, text));
  const cudnnBackendDescriptor_t finished_engine = finish(std::move(engine));
  std::vector<cudnnBackendDescriptor_t> knobs;
  while (!left.empty() && status == CUDNN_STATUS_SUCCESS) {
    const auto type = static_cast<cudnnBackendKnobType_t>(take_number(left, text));
    CudnnDescriptor knob(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    knob.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
    knob.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, take_number(left, text));
    knobs.push_back(finish(std::move(knob)));
  }
  if (status != CUDNN_STATUS_SUCCESS) return status;
  CudnnDescriptor configuration(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  configuration.set(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                    &finished_engine);
  if (!knobs.empty())
    configuration.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                      static_cast<std::int64_t>(knobs.size()), knobs.data());
  const cudnnBackendDescriptor_t finished = finish(std::move(configuration));
  if (status != CUDNN_STATUS_SUCCESS) return status;
  CudnnDescriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle_);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &finished);
  finish(std::move(plan));
  if (status != CUDNN_STATUS_SUCCESS) return status;
  workspace_bytes_ =
      static_cast<std::size_t>(made.back().read_number(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
  plan_ = std::move(made);
  engine_ = text;
  return CUDNN_STATUS_SUCCESS;
}

void ConvolutionPlan::use_recorded(const std::string& text) {
  const std::string version = fmt::format("{} ", cudnnGetVersion());
  if (!text.starts_with(version))
    throw UserError(
        "the engine recorded for {} is of cuDNN {}, but this is {}; use the installation that the "
        "run began with, or begin another run from its weights",
        problem_, text.substr(0, text.find(' ')), cudnnGetVersion());
  const cudnnStatus_t status = build(text.substr(version.size()));
  if (status != CUDNN_STATUS_SUCCESS)
    throw UserError(
        "the engine recorded for {} does not run on {} ({}); use devices of the kind that the run "
        "began on, or begin another run from its weights",
        problem_, cuda::where(), cudnnGetErrorString(status));
}

// The heuristics' first that fits; where all want more memory, the first of any size.
void ConvolutionPlan::choose() {
  std::string large;
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    CudnnDescriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph_.back());
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (heuristics.try_finalize() != CUDNN_STATUS_SUCCESS) continue;
    const std::int64_t offered =
        heuristics.read(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
    for (const CudnnDescriptor& configuration : heuristics.read_descriptors(
             CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, offered)) {
      const auto engine = configuration.read_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE,
                                                         CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
      if (engine.empty() || !keeps_contract(engine[0], exact_)) continue;
      const std::string text = text_of(configuration, engine[0]);
      if (build(text) != CUDNN_STATUS_SUCCESS) continue;
      if (workspace_bytes_ <= kWorkspace) return;
      if (large.empty()) large = text;
    }
  }
  plan_.clear();
  if (!large.empty()) build(large);
}

void ConvolutionPlan::run(const void* x, const void* w, const void* y, void* workspace,
                          Stream* stream) const {
  const std::array<std::int64_t, 3> names = {kX, kW, kY};
  const std::array<const void*, 3> pointers = {x, w, y};
  CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, names);
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, pointers.size(),
           pointers.data());
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  pack.finalize("cuDNN's pointers");
  execute(handle_, plan_.back().get(), pack.get(), cuda::native(stream), problem_);
}

}  // namespace lockstep::ops
