#include "tests/ptx/runtime/stream.h"

#include <algorithm>
#include <unordered_map>

#include "tests/ptx/runtime/device.h"

namespace lockstep::emulation {
namespace {

struct Streams {
  std::unordered_map<cudaStream_t, std::unique_ptr<Stream>> made;
  std::vector<std::unique_ptr<Stream>> legacy;  // by device
  std::vector<std::shared_ptr<Capture>> captures;
  std::uint64_t numbers = 0;
};
// Never destroyed: objects of the program may call at its end.
Streams& streams() {
  static Streams& s = *new Streams;
  return s;
}

Stream& legacy_stream(int device) {
  auto& all = streams().legacy;
  if (all.size() <= static_cast<std::size_t>(device)) all.resize(device + 1);
  if (!all[device]) {
    all[device] = std::make_unique<Stream>();
    all[device]->device = device;
    all[device]->legacy = true;
    all[device]->lane = make_lane();
  }
  return *all[device];
}

// cudaStreamPerThread: made when the thread uses it first.
cudaStream_t stream_of_thread() {
  static thread_local std::unordered_map<int, cudaStream_t> made;
  cudaStream_t& handle = made[current_device()];
  if (handle == nullptr) handle = make_stream(cudaStreamDefault, 0);
  return handle;
}

cudaGraphNodeType node_type(const Work& work) {
  switch (work.kind) {
    case Work::Kind::kKernel:
      return cudaGraphNodeTypeKernel;
    case Work::Kind::kCopy:
      return cudaGraphNodeTypeMemcpy;
    case Work::Kind::kFill:
      return cudaGraphNodeTypeMemset;
    default:
      return cudaGraphNodeTypeHost;
  }
}

}  // namespace

Stream* find_stream(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return &legacy_stream(current_device());
  if (handle == cudaStreamPerThread) handle = stream_of_thread();
  const auto found = streams().made.find(handle);
  return found == streams().made.end() ? nullptr : found->second.get();
}

cudaStream_t make_stream(unsigned flags, int priority) {
  auto stream = std::make_unique<Stream>();
  stream->device = current_device();
  stream->blocking = !(flags & cudaStreamNonBlocking);
  stream->priority = priority;
  stream->number = ++streams().numbers;
  stream->lane = make_lane();
  auto* handle = reinterpret_cast<cudaStream_t>(stream.get());
  streams().made[handle] = std::move(stream);
  return handle;
}

void drop_stream(cudaStream_t handle) { streams().made.erase(handle); }

std::vector<TaskPtr> before_next(const Stream& stream) {
  std::vector<TaskPtr> before{stream.last};
  if (stream.legacy) {
    for (const auto& [handle, each] : streams().made)
      if (each->blocking && each->device == stream.device) before.push_back(each->last);
  } else if (stream.blocking) {
    before.push_back(legacy_stream(stream.device).last);
  }
  return before;
}

TaskPtr give_task(Stream& stream, TaskPtr task, std::vector<TaskPtr> after) {
  task->device = stream.device;
  task->lane = stream.lane;
  for (TaskPtr& each : before_next(stream)) after.push_back(std::move(each));
  stream.last = submit(std::move(task), after);
  return stream.last;
}

cudaError_t check_implicit(const Stream& stream) {
  if (!stream.legacy) return cudaSuccess;
  for (const auto& [handle, each] : streams().made)
    if (each->capture && each->blocking && each->device == stream.device)
      return spoil(*each->capture, cudaErrorStreamCaptureImplicit);
  return cudaSuccess;
}

cudaError_t give(Stream& stream, std::shared_ptr<const Work> work) {
  if (const cudaError_t error = check_implicit(stream); error != cudaSuccess) return error;
  if (!stream.capture) {
    auto task = std::make_shared<Task>();
    task->work = std::move(work);
    give_task(stream, std::move(task));
    return cudaSuccess;
  }
  if (stream.capture->spoiled) return cudaErrorStreamCaptureInvalidated;
  const cudaGraphNodeType type = node_type(*work);
  stream.tails = {stream.capture->graph->add({type, std::move(work), nullptr, stream.tails})};
  return cudaSuccess;
}

cudaError_t spoil(Capture& capture, cudaError_t error) {
  capture.spoiled = true;
  return error;
}

cudaError_t refuse_in_capture() {
  cudaError_t answer = cudaSuccess;
  for (const auto& capture : streams().captures) {
    const bool own = capture->thread == std::this_thread::get_id();
    if (capture->mode == cudaStreamCaptureModeGlobal ||
        (capture->mode == cudaStreamCaptureModeThreadLocal && own))
      answer = spoil(*capture, cudaErrorStreamCaptureUnsupported);
  }
  return answer;
}

cudaError_t refuse_any_capture() {
  for (const auto& capture : streams().captures) capture->spoiled = true;
  return streams().captures.empty() ? cudaSuccess : cudaErrorStreamCaptureUnsupported;
}

cudaError_t begin_capture(cudaStream_t handle, Stream& stream, cudaStreamCaptureMode mode) {
  if (stream.legacy) return cudaErrorStreamCaptureUnsupported;
  if (stream.capture) return cudaErrorIllegalState;
  auto capture = std::make_shared<Capture>();
  capture->graph = std::make_shared<Graph>();
  capture->origin = handle;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->number = ++streams().numbers;
  stream.capture = capture;
  stream.tails.clear();
  streams().captures.push_back(std::move(capture));
  return cudaSuccess;
}

cudaError_t end_capture(cudaStream_t handle, Stream& stream, std::shared_ptr<Graph>& graph) {
  const std::shared_ptr<Capture> capture = stream.capture;
  if (!capture) return cudaErrorIllegalState;
  if (capture->origin != handle) return spoil(*capture, cudaErrorStreamCaptureUnmatched);
  if (capture->mode != cudaStreamCaptureModeRelaxed &&
      capture->thread != std::this_thread::get_id())
    return cudaErrorStreamCaptureWrongThread;
  bool joined = true;
  for (int leaf : capture->graph->leaves())
    if (std::find(stream.tails.begin(), stream.tails.end(), leaf) == stream.tails.end())
      joined = false;
  for (const auto& [each_handle, each] : streams().made)
    if (each->capture == capture) {
      each->capture = nullptr;
      each->tails.clear();
    }
  std::erase(streams().captures, capture);
  capture->ended = true;
  if (capture->spoiled) return cudaErrorStreamCaptureInvalidated;
  if (!joined) return cudaErrorStreamCaptureUnjoined;
  graph = capture->graph;
  return cudaSuccess;
}

void record_at(Event& event, const TaskPtr& task) {
  event.recorded = task;
  event.capture = nullptr;
  if (event.shared == nullptr) {
    task->at_end = [] {};  // keeps the time
    return;
  }
  task->at_end = [shared = event.shared, sequence = ++event.shared->recorded] {
    if (shared->reached.load() < sequence) shared->reached.store(sequence);
  };
}

void wait_for(const Event& event, Task& task, std::vector<TaskPtr>& after) {
  if (event.shared)
    task.remote = {&event.shared->reached, event.shared->recorded.load()};
  else
    after.push_back(event.recorded);
}

}  // namespace lockstep::emulation
