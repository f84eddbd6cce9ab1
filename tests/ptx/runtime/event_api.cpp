// Events: recorded in streams and graphs, waited for by streams and by the host.
#include <cuda_runtime_api.h>

#include <unordered_map>

#include "tests/ptx/runtime/call.h"
#include "tests/ptx/runtime/device.h"
#include "tests/ptx/runtime/event_handle.h"
#include "tests/ptx/runtime/settings.h"
#include "tests/ptx/runtime/stream.h"

namespace lockstep::emulation {
namespace {

auto& events() {
  // Never destroyed: objects of the program may call at its end.
  static auto& all = *new std::unordered_map<cudaEvent_t, std::shared_ptr<Event>>;
  return all;
}

std::shared_ptr<Event> shared_event(cudaEvent_t handle) {
  const auto found = events().find(handle);
  return found == events().end() ? nullptr : found->second;
}

// Into the graph: as a node of its own (external), or as a mark that other streams of the capture
// can wait for.
cudaError_t capture_record(std::shared_ptr<Event> event, Stream& stream, bool external) {
  Capture& capture = *stream.capture;
  if (capture.spoiled) return cudaErrorStreamCaptureInvalidated;
  if (external) {
    stream.tails = {capture.graph->add(
        {cudaGraphNodeTypeEventRecord, nullptr, std::move(event), stream.tails})};
    return cudaSuccess;
  }
  event->capture = stream.capture;
  event->nodes = stream.tails;
  return cudaSuccess;
}

cudaError_t capture_wait(std::shared_ptr<Event> event, Stream& stream, bool external) {
  Capture& capture = *stream.capture;
  if (capture.spoiled) return cudaErrorStreamCaptureInvalidated;
  if (external) {
    stream.tails = {
        capture.graph->add({cudaGraphNodeTypeWaitEvent, nullptr, std::move(event), stream.tails})};
    return cudaSuccess;
  }
  if (!event->capture) return spoil(capture, cudaErrorStreamCaptureIsolation);
  if (event->capture != stream.capture) return spoil(capture, cudaErrorStreamCaptureMerge);
  for (int node : event->nodes) {
    bool known = false;
    for (int tail : stream.tails) known = known || tail == node;
    if (!known) stream.tails.push_back(node);
  }
  return cudaSuccess;
}

// A stream that waits for an event of a capture becomes part of it.
cudaError_t join_capture(const Event& event, Stream& stream) {
  if (event.capture->ended) return cudaErrorInvalidValue;
  if (stream.legacy) return spoil(*event.capture, cudaErrorStreamCaptureImplicit);
  if (event.capture->spoiled) return cudaErrorStreamCaptureInvalidated;
  stream.capture = event.capture;
  stream.tails = event.nodes;
  return cudaSuccess;
}

cudaError_t check_host_wait(Event* event) {
  if (event == nullptr) return cudaErrorInvalidResourceHandle;
  if (event->capture && !event->capture->ended)
    return spoil(*event->capture, cudaErrorCapturedEvent);
  return refuse_in_capture();
}

}  // namespace

cudaEvent_t keep_event(std::shared_ptr<Event> event) {
  auto* handle = reinterpret_cast<cudaEvent_t>(event.get());
  events()[handle] = std::move(event);
  return handle;
}
Event* find_event(cudaEvent_t handle) { return shared_event(handle).get(); }

}  // namespace lockstep::emulation

using namespace lockstep::emulation;

LOCKSTEP_API cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call(Capturing::kSafe, [&](Lock&) {
    if (device_count() == 0) return cudaErrorNoDevice;
    const bool shared = flags & cudaEventInterprocess;
    if (shared && !settings().ipc) return cudaErrorNotSupported;
    if (shared && !(flags & cudaEventDisableTiming)) return cudaErrorInvalidValue;
    auto made = std::make_shared<Event>();
    made->flags = flags;
    made->device = current_device();
    if (shared) share_event(*made);
    *event = keep_event(std::move(made));
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
LOCKSTEP_API cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  return call(Capturing::kSafe, [&](Lock&) {
    const Event* event = find_event(handle);
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    // A record still to come must not reach the event that takes its place.
    if (event->shared && event->done()) unshare_event(*event);
    events().erase(handle);
    return cudaSuccess;
  });
}

LOCKSTEP_API cudaError_t cudaEventRecordWithFlags(cudaEvent_t handle, cudaStream_t stream_handle,
                                                  unsigned flags) {
  return call(Capturing::kSafe, [&](Lock& lock) {
    const std::shared_ptr<Event> event = shared_event(handle);
    Stream* stream = find_stream(stream_handle);
    if (!event || !stream || event->device != stream->device) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = check_implicit(*stream); error != cudaSuccess) return error;
    if (stream->capture) return capture_record(event, *stream, flags & cudaEventRecordExternal);
    auto task = std::make_shared<Task>();
    record_at(*event, task);
    give_task(*stream, std::move(task));
    settle(lock);
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}

LOCKSTEP_API cudaError_t cudaStreamWaitEvent(cudaStream_t stream_handle, cudaEvent_t handle,
                                             unsigned flags) {
  return call(Capturing::kSafe, [&](Lock&) {
    const std::shared_ptr<Event> event = shared_event(handle);
    Stream* stream = find_stream(stream_handle);
    if (!event || !stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = check_implicit(*stream); error != cudaSuccess) return error;
    if (stream->capture) return capture_wait(event, *stream, flags & cudaEventWaitExternal);
    if (event->capture) return join_capture(*event, *stream);
    if (event->done()) return cudaSuccess;
    auto task = std::make_shared<Task>();
    std::vector<TaskPtr> after;
    wait_for(*event, *task, after);
    give_task(*stream, std::move(task), std::move(after));
    return cudaSuccess;
  });
}

LOCKSTEP_API cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return call(Capturing::kSafe, [&](Lock& lock) {
    const std::shared_ptr<Event> event = shared_event(handle);
    if (const cudaError_t error = check_host_wait(event.get()); error != cudaSuccess) return error;
    if (event->shared) {
      const std::uint64_t sequence = event->shared->recorded.load();
      run_until(lock, [&] {
        return event->shared->reached.load() >= sequence || failure() != cudaSuccess;
      });
    } else {
      const TaskPtr recorded = event->recorded;
      run_until_done(lock, recorded);
    }
    return failure();
  });
}
LOCKSTEP_API cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return call(Capturing::kSafe, [&](Lock& lock) {
    const std::shared_ptr<Event> event = shared_event(handle);
    if (const cudaError_t error = check_host_wait(event.get()); error != cudaSuccess) return error;
    if (!event->done()) advance(lock);
    if (failure() != cudaSuccess) return failure();
    return event->done() ? cudaSuccess : cudaErrorNotReady;
  });
}
LOCKSTEP_API cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from,
                                              cudaEvent_t to) {
  return call(Capturing::kSafe, [&](Lock&) {
    const Event* begin = find_event(from);
    const Event* end = find_event(to);
    if (!begin || !end || ((begin->flags | end->flags) & cudaEventDisableTiming) ||
        !begin->recorded || !end->recorded)
      return cudaErrorInvalidResourceHandle;
    if (!begin->done() || !end->done()) return cudaErrorNotReady;
    *milliseconds = static_cast<float>(1e3 * (end->recorded->end - begin->recorded->end));
    return cudaSuccess;
  });
}
