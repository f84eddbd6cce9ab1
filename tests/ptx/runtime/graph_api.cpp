// Capture of streams into graphs, and graphs made executable and launched.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <unordered_map>

#include "tests/ptx/runtime/call.h"
#include "tests/ptx/runtime/stream.h"

using namespace lockstep::emulation;

namespace {

struct Graphs {
  std::unordered_map<cudaGraph_t, std::shared_ptr<Graph>> graphs;
  std::unordered_map<cudaGraphExec_t, std::unique_ptr<Executable>> executables;
};
// Never destroyed: objects of the program may call at its end.
Graphs& all() {
  static Graphs& g = *new Graphs;
  return g;
}

Graph* find(cudaGraph_t handle) {
  const auto found = all().graphs.find(handle);
  return found == all().graphs.end() ? nullptr : found->second.get();
}

}  // namespace

LOCKSTEP_API cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call(Capturing::kSafe, [&](Lock&) {
    Stream* stream = find_stream(handle);
    return stream ? begin_capture(handle, *stream, mode) : cudaErrorInvalidResourceHandle;
  });
}
LOCKSTEP_API cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return call(Capturing::kSafe, [&](Lock&) {
    *graph = nullptr;
    Stream* stream = find_stream(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    std::shared_ptr<Graph> captured;
    const cudaError_t error = end_capture(handle, *stream, captured);
    if (error != cudaSuccess) return error;
    *graph = reinterpret_cast<cudaGraph_t>(captured.get());
    all().graphs[*graph] = std::move(captured);
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaStreamIsCapturing(cudaStream_t handle,
                                               cudaStreamCaptureStatus* status) {
  return call(Capturing::kSafe, [&](Lock&) {
    const Stream* stream = find_stream(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = check_implicit(*stream); error != cudaSuccess) return error;
    *status = !stream->capture           ? cudaStreamCaptureStatusNone
              : stream->capture->spoiled ? cudaStreamCaptureStatusInvalidated
                                         : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) {
  return remember(cudaErrorNotSupported);
}

LOCKSTEP_API cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                              unsigned long long) {
  return call(Capturing::kSafe, [&](Lock&) {
    if (find(graph) == nullptr) return cudaErrorInvalidValue;
    auto made = std::make_unique<Executable>();
    made->graph = std::make_shared<Graph>(*find(graph));
    *executable = reinterpret_cast<cudaGraphExec_t>(made.get());
    all().executables[*executable] = std::move(made);
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable,
                                                       cudaGraph_t graph,
                                                       unsigned long long flags) {
  return cudaGraphInstantiate(executable, graph, flags);
}
LOCKSTEP_API cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t) {
  return call(Capturing::kSafe, [&](Lock&) {
    return all().executables.contains(executable) ? cudaSuccess : cudaErrorInvalidValue;
  });
}
LOCKSTEP_API cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
  return call(Capturing::kSafe, [&](Lock& lock) {
    const auto found = all().executables.find(executable);
    Stream* stream = find_stream(handle);
    if (found == all().executables.end()) return cudaErrorInvalidValue;
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = check_implicit(*stream); error != cudaSuccess) return error;
    if (stream->capture && stream->capture->spoiled) return cudaErrorStreamCaptureInvalidated;
    const cudaError_t error = launch(*found->second, *stream);
    if (!stream->capture) settle(lock);
    return error;
  });
}
LOCKSTEP_API cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return call(Capturing::kSafe, [&](Lock&) {
    return all().executables.erase(executable) ? cudaSuccess : cudaErrorInvalidValue;
  });
}
LOCKSTEP_API cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call(Capturing::kSafe, [&](Lock&) {
    return all().graphs.erase(graph) ? cudaSuccess : cudaErrorInvalidValue;
  });
}

// A node's handle is the address of the node: good for as long as the graph.
LOCKSTEP_API cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes,
                                           std::size_t* count) {
  return call(Capturing::kSafe, [&](Lock&) {
    Graph* found = find(graph);
    if (found == nullptr) return cudaErrorInvalidValue;
    if (nodes != nullptr)
      for (std::size_t i = 0; i < *count; ++i)
        nodes[i] =
            i < found->nodes.size() ? reinterpret_cast<cudaGraphNode_t>(&found->nodes[i]) : nullptr;
    *count = nodes ? std::min(*count, found->nodes.size()) : found->nodes.size();
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  *type = reinterpret_cast<const Node*>(node)->type;
  return cudaSuccess;
}
