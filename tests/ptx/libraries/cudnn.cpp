// The calls of cuDNN 9's graph API that lockstep makes.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>

#include "tests/ptx/libraries/cudnn_engines.h"
#include "tests/ptx/runtime/enqueue.h"

struct cudnnContext {
  int capability;
  cudaStream_t stream;
};

namespace lockstep::stand_in {
namespace {

Descriptor* descriptor(cudnnBackendDescriptor_t d) {
  auto* const found = static_cast<Descriptor*>(d);
  return is_descriptor(found) ? found : nullptr;
}

const Descriptor& operation_of(const Descriptor& graph) {
  return graph.child(CUDNN_ATTR_OPERATIONGRAPH_OPS);
}
int capability_of(const Descriptor& graph) {
  return graph.one<cudnnHandle_t>(CUDNN_ATTR_OPERATIONGRAPH_HANDLE)->capability;
}

// Of a finished engine's descriptor.
std::optional<Engine> engine_of(const Descriptor& d) {
  const Descriptor& graph = d.child(CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
  const auto problem = problem_of(operation_of(graph));
  if (!problem) return std::nullopt;
  return find_engine(*problem, capability_of(graph),
                     d.one<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
}

bool positive(const std::vector<std::int64_t>& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](std::int64_t n) { return n > 0; });
}

bool knobs_fit(const Descriptor& configuration, const Engine& engine) {
  for (const auto* knob : configuration.all<const Descriptor*>(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES)) {
    const std::pair choice{knob->one<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE),
                           knob->one<std::int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE)};
    if (std::find(engine.knobs.begin(), engine.knobs.end(), choice) == engine.knobs.end())
      return false;
  }
  return true;
}

cudnnStatus_t finalize(const Descriptor& d) {
  if (!complete(d)) return CUDNN_STATUS_BAD_PARAM;
  switch (d.type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR: {
      const auto dimensions = d.all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
      const auto strides = d.all<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
      const bool fits = dimensions.size() == strides.size() && dimensions.size() >= 4 &&
                        dimensions.size() <= 5 && positive(dimensions) && positive(strides);
      return fits ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
    }
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      return shapes_fit(d) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
      return engine_of(d) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR: {
      const Descriptor& configuration = d.child(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
      const auto engine = engine_of(configuration.child(CUDNN_ATTR_ENGINECFG_ENGINE));
      return engine && knobs_fit(configuration, *engine) ? CUDNN_STATUS_SUCCESS
                                                         : CUDNN_STATUS_NOT_SUPPORTED;
    }
    default:
      return CUDNN_STATUS_SUCCESS;
  }
}

// Gives what a finished descriptor has, as many as there is room for.
template <class T>
cudnnStatus_t give(const std::vector<T>& items, std::int64_t room, std::int64_t* count, void* to) {
  const auto have = static_cast<std::int64_t>(items.size());
  const std::int64_t given = to == nullptr ? 0 : std::min(room, have);
  if (given > 0) std::memcpy(to, items.data(), given * sizeof(T));
  if (count != nullptr) *count = to == nullptr || room == 0 ? have : given;
  return CUDNN_STATUS_SUCCESS;
}

void fill_engine(Descriptor& d, const Descriptor* graph, const Engine& engine) {
  d.put(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, std::vector{graph});
  d.put(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, std::vector{engine.index});
  d.finalized = true;
}

// Writes into descriptors of the caller; the graph's address stands for the engine until it is
// asked for.
cudnnStatus_t give_results(const Descriptor& heuristics, std::int64_t room, std::int64_t* count,
                           void* to) {
  const auto* const graph = &heuristics.child(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  const auto problem = problem_of(operation_of(*graph));
  std::vector<Engine> engines;
  if (problem)
    engines = engines_for(*problem, capability_of(*graph),
                          heuristics.one<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE));
  const auto have = static_cast<std::int64_t>(engines.size());
  if (to == nullptr || room == 0) {
    *count = have;
    return CUDNN_STATUS_SUCCESS;
  }
  *count = std::min(room, have);
  for (std::int64_t i = 0; i < *count; ++i) {
    Descriptor* const d = descriptor(static_cast<cudnnBackendDescriptor_t*>(to)[i]);
    if (d == nullptr || d->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)
      return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
    fill_engine(*d, graph, engines[i]);
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t give_engine(const Descriptor& configuration, std::int64_t room, std::int64_t* count,
                          void* to) {
  *count = 1;
  if (to == nullptr || room == 0) return CUDNN_STATUS_SUCCESS;
  Descriptor* const d = descriptor(*static_cast<cudnnBackendDescriptor_t*>(to));
  if (d == nullptr || d->type != CUDNN_BACKEND_ENGINE_DESCRIPTOR)
    return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
  d->values = configuration.values;
  d->finalized = true;
  return CUDNN_STATUS_SUCCESS;
}

// As in cuDNN 9.19, asked for none it tells of none.
cudnnStatus_t give_knobs(const Descriptor& configuration, std::int64_t room, std::int64_t* count,
                         void* to) {
  const auto engine = engine_of(configuration);
  *count = to == nullptr ? 0 : std::min<std::int64_t>(room, engine->knobs.size());
  for (std::int64_t i = 0; i < *count; ++i) {
    Descriptor* const d = descriptor(static_cast<cudnnBackendDescriptor_t*>(to)[i]);
    if (d == nullptr || d->type != CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR)
      return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
    d->put(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE,
           std::vector{engine->knobs[i].first});
    d->put(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64,
           std::vector{engine->knobs[i].second});
    d->finalized = true;
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t run(cudnnHandle_t handle, const Descriptor& plan, const Descriptor& pack) {
  if (plan.one<cudnnHandle_t>(CUDNN_ATTR_EXECUTION_PLAN_HANDLE) != handle)
    return CUDNN_STATUS_BAD_PARAM;
  const Descriptor& chosen =
      plan.child(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).child(CUDNN_ATTR_ENGINECFG_ENGINE);
  const Engine engine = *engine_of(chosen);
  const auto problem = *problem_of(operation_of(chosen.child(CUDNN_ATTR_ENGINE_OPERATION_GRAPH)));
  const auto names = pack.all<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const auto pointers = pack.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  void* const workspace = pack.one<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  if (names.size() != pointers.size()) return CUDNN_STATUS_BAD_PARAM;
  std::array<void*, 3> data{};
  const std::array tensors = {&problem.x, &problem.w, &problem.y};
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto at = std::find(names.begin(), names.end(), tensors[i]->name);
    if (at == names.end()) return CUDNN_STATUS_BAD_PARAM;
    data[i] = pointers[at - names.begin()];
    if (data[i] == nullptr) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (reinterpret_cast<std::uintptr_t>(data[i]) % tensors[i]->alignment != 0)
      return CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER;
  }
  if (engine.workspace > 0 && workspace == nullptr) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  const cudaError_t queued = emulation::enqueue(handle->stream, "cudnnBackendExecute", [=] {
    if (engine.workspace > 0) std::memset(workspace, 0xFF, engine.workspace);
    compute(problem, engine, data[0], data[1], data[2]);
  });
  return queued == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED_CUDART;
}

}  // namespace
}  // namespace lockstep::stand_in

using namespace lockstep::stand_in;

extern "C" {

std::size_t cudnnGetVersion() { return CUDNN_VERSION; }

const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_INITIALIZED:
      return "CUDNN_STATUS_NOT_INITIALIZED";
    case CUDNN_STATUS_BAD_PARAM:
      return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_BAD_PARAM_NULL_POINTER:
      return "CUDNN_STATUS_BAD_PARAM_NULL_POINTER";
    case CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER:
      return "CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER";
    case CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED:
      return "CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED";
    case CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE:
      return "CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE";
    case CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE:
      return "CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_EXECUTION_FAILED_CUDART:
      return "CUDNN_STATUS_EXECUTION_FAILED_CUDART";
    default:
      return "CUDNN_UNKNOWN_STATUS";
  }
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  int device = 0, major = 0, minor = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess)
    return CUDNN_STATUS_NOT_INITIALIZED;
  *handle = new cudnnContext{10 * major + minor, nullptr};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  if (handle == nullptr) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* made) {
  auto* const d = new Descriptor{.type = type};
  add_descriptor(d);
  *made = d;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d) {
  if (!remove_descriptor(static_cast<Descriptor*>(d))) return CUDNN_STATUS_BAD_PARAM;
  delete static_cast<Descriptor*>(d);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t raw,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, std::int64_t count,
                                       const void* elements) {
  Descriptor* const d = descriptor(raw);
  if (d == nullptr || elements == nullptr) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  if (d->finalized || count < 1) return CUDNN_STATUS_BAD_PARAM;
  const cudnnStatus_t status = check_attribute(*d, name, type, count, elements);
  if (status != CUDNN_STATUS_SUCCESS) return status;
  const auto* const begin = static_cast<const std::byte*>(elements);
  d->values[name] = {type, count, {begin, begin + count * size_of(type)}};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t raw) {
  Descriptor* const d = descriptor(raw);
  if (d == nullptr) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  const cudnnStatus_t status = finalize(*d);
  if (status == CUDNN_STATUS_SUCCESS) d->finalized = true;
  return status;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const raw,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, std::int64_t room,
                                       std::int64_t* count, void* elements) {
  const Descriptor* const d = descriptor(raw);
  if (d == nullptr) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  if (!d->finalized) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
  switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
      return give_results(*d, room, count, elements);
    case CUDNN_ATTR_ENGINECFG_ENGINE:
      return give_engine(*d, room, count, elements);
    case CUDNN_ATTR_ENGINECFG_KNOB_CHOICES:
      return give_knobs(*d, room, count, elements);
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
      return give(engine_of(*d)->notes, room, count, elements);
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
      return give(std::vector{engine_of(d->child(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)
                                            .child(CUDNN_ATTR_ENGINECFG_ENGINE))
                                  ->workspace},
                  room, count, elements);
    default:
      break;
  }
  const auto found = d->values.find(name);
  if (found == d->values.end()) return CUDNN_STATUS_BAD_PARAM;
  if (found->second.type != type) return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
  const std::int64_t given = std::min(room, found->second.count);
  if (elements != nullptr) std::memcpy(elements, found->second.bytes.data(), given * size_of(type));
  if (count != nullptr) *count = elements == nullptr ? found->second.count : given;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack) {
  const Descriptor *const p = descriptor(plan), *const v = descriptor(pack);
  if (handle == nullptr || p == nullptr || v == nullptr) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  if (!p->finalized || !v->finalized) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
  return run(handle, *p, *v);
}

}  // extern "C"
