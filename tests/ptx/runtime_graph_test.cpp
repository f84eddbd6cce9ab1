// Captures and graphs.
#include <set>
#include <thread>

#include "tests/ptx/runtime_fixture.h"

namespace lockstep::ptx {
namespace {

cudaGraphExec_t end_capture(cudaStream_t stream) {
  cudaGraph_t graph = nullptr;
  EXPECT_CUDA(cudaSuccess, cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t executable = nullptr;
  EXPECT_CUDA(cudaSuccess, cudaGraphInstantiate(&executable, graph, 0));
  EXPECT_CUDA(cudaSuccess, cudaGraphDestroy(graph));
  return executable;
}

TEST(Graph, launches_repeat_what_was_captured_with_its_arguments) {
  Cell x(1);
  cudaStream_t stream = make_stream();
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  int term = 3;
  multiply_add(x.data(), 2, term, stream);
  term = 100;
  const cudaGraphExec_t executable = end_capture(stream);
  EXPECT_EQ(x.get_at_end(), 1) << "captured work ran";
  for (int i = 0; i < 3; ++i) EXPECT_CUDA(cudaSuccess, cudaGraphLaunch(executable, stream));
  EXPECT_CUDA(cudaSuccess, cudaGraphExecDestroy(executable));
  EXPECT_EQ(x.get_at_end(), 29);
}

TEST(Graph, streams_that_wait_for_an_event_of_the_capture_join_it) {
  cudaStream_t first = make_stream(), second = make_stream();
  cudaEvent_t fork = make_event(), join = make_event();
  Cell x, y;
  cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal);
  multiply_add(x.data(), 2, 1, first);
  cudaEventRecord(fork, first);
  cudaStreamWaitEvent(second, fork, 0);
  multiply_add(y.data(), 3, 0, second);
  multiply_add(y.data(), 1, 1, second);
  multiply_add(x.data(), 5, 0, first);
  cudaStreamCaptureStatus status{};
  EXPECT_CUDA(cudaSuccess, cudaStreamIsCapturing(second, &status));
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  EXPECT_CUDA(cudaErrorCapturedEvent, cudaEventQuery(fork));
  // That question has spoiled the capture.
  cudaGraph_t graph = nullptr;
  EXPECT_CUDA(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(first, &graph));
  EXPECT_EQ(graph, nullptr);
  cudaGetLastError();

  cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal);
  multiply_add(x.data(), 2, 1, first);
  cudaEventRecord(fork, first);
  cudaStreamWaitEvent(second, fork, 0);
  multiply_add(y.data(), 3, 1, second);
  cudaEventRecord(join, second);
  cudaStreamWaitEvent(first, join, 0);
  multiply_add(y.data(), 5, 0, first);
  const cudaGraphExec_t executable = end_capture(first);
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    set_seed(seed);
    x.set(1), y.set(1);
    EXPECT_CUDA(cudaSuccess, cudaGraphLaunch(executable, second));
    EXPECT_EQ(x.get_at_end(), 3);
    EXPECT_EQ(y.get_at_end(), 20);
  }
}

TEST(Graph, branches_run_in_any_order_and_unjoined_ones_are_refused) {
  cudaStream_t first = make_stream(), second = make_stream();
  cudaEvent_t fork = make_event(), join = make_event();
  Cell x;
  const auto capture = [&](bool joined) {
    cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal);
    cudaEventRecord(fork, first);
    cudaStreamWaitEvent(second, fork, 0);
    multiply_add(x.data(), 2, 0, first);
    multiply_add(x.data(), 1, 5, second);
    if (!joined) return;
    cudaEventRecord(join, second);
    cudaStreamWaitEvent(first, join, 0);
  };
  capture(false);
  cudaGraph_t graph = nullptr;
  EXPECT_CUDA(cudaErrorStreamCaptureUnjoined, cudaStreamEndCapture(first, &graph));
  cudaGetLastError();
  capture(true);
  const cudaGraphExec_t executable = end_capture(first);
  std::set<int> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    set_seed(seed);
    x.set(1);
    cudaGraphLaunch(executable, first);
    seen.insert(x.get_at_end());
  }
  EXPECT_EQ(seen, (std::set<int>{7, 12}));
}

TEST(Graph, external_events_are_recorded_and_waited_for_at_each_launch) {
  cudaStream_t first = make_stream(), second = make_stream();
  cudaEvent_t before = make_event(), inside = make_event();
  Cell x;
  cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal);
  EXPECT_CUDA(cudaSuccess, cudaStreamWaitEvent(first, before, cudaEventWaitExternal));
  multiply_add(x.data(), 2, 0, first);
  EXPECT_CUDA(cudaSuccess, cudaEventRecordWithFlags(inside, first, cudaEventRecordExternal));
  const cudaGraphExec_t executable = end_capture(first);
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    set_seed(seed);
    x.set(1);
    multiply_add(x.data(), 1, 5, second);
    cudaEventRecord(before, second);
    cudaGraphLaunch(executable, first);
    cudaStreamWaitEvent(second, inside, 0);
    multiply_add(x.data(), 1, 1, second);
    EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(second));
    ASSERT_EQ(x.get(), 13) << "seed " << seed;
  }
}

TEST(Graph, calls_that_wait_or_allocate_are_refused_and_spoil_the_capture) {
  cudaStream_t stream = make_stream(), other = make_stream();
  cudaEvent_t event = make_event(), elsewhere = make_event();
  cudaEventRecord(elsewhere, other);
  void* data = nullptr;
  const auto expect = [&](cudaError_t expected, auto&& act) {
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    EXPECT_CUDA(expected, act());
    cudaGraph_t graph = nullptr;
    EXPECT_CUDA(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));
    cudaGetLastError();
  };
  expect(cudaErrorStreamCaptureUnsupported, [&] { return cudaMalloc(&data, 4); });
  expect(cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamSynchronize(stream); });
  expect(cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamQuery(stream); });
  expect(cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamSynchronize(other); });
  expect(cudaErrorStreamCaptureUnsupported, [&] { return cudaDeviceSynchronize(); });
  expect(cudaErrorStreamCaptureUnsupported, [&] { return cudaEventSynchronize(elsewhere); });
  expect(cudaErrorStreamCaptureIsolation,
         [&] { return cudaStreamWaitEvent(stream, elsewhere, 0); });
  expect(cudaErrorCapturedEvent, [&] {
    cudaEventRecord(event, stream);
    return cudaEventSynchronize(event);
  });
  EXPECT_CUDA(cudaErrorStreamCaptureUnsupported,
              cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal));
  cudaGetLastError();
}

TEST(Graph, thread_local_captures_leave_other_threads_alone) {
  cudaStream_t stream = make_stream();
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  cudaError_t elsewhere = cudaErrorUnknown;
  std::thread([&] {
    void* data = nullptr;
    elsewhere = cudaMalloc(&data, 4);
  }).join();
  EXPECT_EQ(elsewhere, cudaSuccess);
  EXPECT_CUDA(cudaSuccess, cudaGraphExecDestroy(end_capture(stream)));
}

}  // namespace
}  // namespace lockstep::ptx
