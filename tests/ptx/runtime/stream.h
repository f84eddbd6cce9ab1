// Streams and events as the API knows them, and the capture of a stream's work into a graph. All
// functions want the lock of call.h.
#pragma once
#include <thread>

#include "tests/ptx/runtime/graph.h"
#include "tests/ptx/runtime/schedule.h"

namespace lockstep::emulation {

// Work of several streams on its way into one graph.
struct Capture {
  std::shared_ptr<Graph> graph;
  cudaStream_t origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  std::uint64_t number = 0;
  bool spoiled = false, ended = false;
};

struct Stream {
  int device = 0;
  bool legacy = false;  // the default stream, which waits for all blocking ones and they for it
  bool blocking = true;
  int priority = 0;
  std::uint64_t number = 0;
  std::shared_ptr<Lane> lane;
  TaskPtr last;
  std::shared_ptr<Capture> capture;
  std::vector<int> tails;  // nodes of the capture that the next one comes after
};

// Null: no such stream. 0, cudaStreamLegacy and cudaStreamPerThread are streams of
// current_device().
Stream* find_stream(cudaStream_t handle);
cudaStream_t make_stream(unsigned flags, int priority);
void drop_stream(cudaStream_t handle);

// Gives work to the stream, or to the graph that it captures. The caller then calls settle().
cudaError_t give(Stream& stream, std::shared_ptr<const Work> work);
// The same for a task with more to it, in a stream that does not capture.
TaskPtr give_task(Stream& stream, TaskPtr task, std::vector<TaskPtr> after = {});
// What work given now would wait for.
std::vector<TaskPtr> before_next(const Stream& stream);
// The legacy stream must not be used while a blocking stream captures.
cudaError_t check_implicit(const Stream& stream);

cudaError_t begin_capture(cudaStream_t handle, Stream& stream, cudaStreamCaptureMode mode);
cudaError_t end_capture(cudaStream_t handle, Stream& stream, std::shared_ptr<Graph>& graph);
cudaError_t spoil(Capture& capture, cudaError_t error);  // gives back the error
// A device cannot be waited for while any stream captures.
cudaError_t refuse_any_capture();

// The event happens when the task is done.
void record_at(Event& event, const TaskPtr& task);
// Makes a task, not yet given, wait for what the event was recorded after last.
void wait_for(const Event& event, Task& task, std::vector<TaskPtr>& after);

}  // namespace lockstep::emulation
