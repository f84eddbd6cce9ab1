// Work runs late, and in any order that the streams and events allow.
#include <set>
#include <thread>
#include <vector>

#include "tests/ptx/runtime_fixture.h"

namespace lockstep::ptx {
namespace {

constexpr std::uint64_t kSeeds = 200;

TEST(Order, work_waits_until_somebody_waits_for_it) {
  set_seed(0);
  Cell x(1);
  cudaStream_t stream = make_stream();
  int* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(reinterpret_cast<void**>(&pinned), sizeof(int)), cudaSuccess);
  *pinned = 0;
  multiply_add(x.data(), 2, 3, stream);
  cudaMemcpyAsync(pinned, x.data(), sizeof(int), cudaMemcpyDeviceToHost, stream);
  EXPECT_EQ(*pinned, 0);
  EXPECT_CUDA(cudaErrorNotReady, cudaStreamQuery(stream));
  EXPECT_EQ(cudaGetLastError(), cudaErrorNotReady);
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(stream));
  EXPECT_EQ(*pinned, 5);
  cudaFreeHost(pinned);
  cudaStreamDestroy(stream);
}

TEST(Order, a_missing_wait_shows_in_some_order_and_a_wait_in_none) {
  cudaStream_t first = make_stream(), second = make_stream();
  cudaEvent_t event = make_event();
  std::set<int> without, with;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    set_seed(seed);
    Cell x(1), y(1);
    multiply_add(x.data(), 2, 0, first);
    multiply_add(x.data(), 1, 5, second);
    without.insert(x.get_at_end());
    multiply_add(y.data(), 2, 0, first);
    EXPECT_CUDA(cudaSuccess, cudaEventRecord(event, first));
    EXPECT_CUDA(cudaSuccess, cudaStreamWaitEvent(second, event, 0));
    multiply_add(y.data(), 1, 5, second);
    with.insert(y.get_at_end());
  }
  EXPECT_EQ(without, (std::set<int>{7, 12}));
  EXPECT_EQ(with, std::set<int>{7});
}

TEST(Order, a_long_chain_over_three_streams_is_kept) {
  std::vector<cudaStream_t> streams;
  std::vector<cudaEvent_t> events;
  for (int i = 0; i < 3; ++i) streams.push_back(make_stream()), events.push_back(make_event());
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    set_seed(seed);
    Cell x(0);
    unsigned expected = 0;
    for (int i = 0; i < 12; ++i) {
      // Events are recorded again while earlier records are still to come.
      if (i > 0) cudaStreamWaitEvent(streams[i % 3], events[(i - 1) % 3], 0);
      multiply_add(x.data(), 3, i, streams[i % 3]);
      cudaEventRecord(events[i % 3], streams[i % 3]);
      expected = 3 * expected + static_cast<unsigned>(i);
    }
    EXPECT_CUDA(cudaSuccess, cudaEventSynchronize(events[2]));
    ASSERT_EQ(x.get(), static_cast<int>(expected)) << "seed " << seed;
  }
}

TEST(Order, the_legacy_stream_waits_for_blocking_streams_only) {
  cudaStream_t blocking = make_stream(cudaStreamDefault), free = make_stream();
  std::set<int> seen;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    set_seed(seed);
    Cell x(1), y(1);
    multiply_add(x.data(), 2, 0, blocking);
    multiply_add(x.data(), 1, 5, nullptr);
    multiply_add(x.data(), 10, 0, blocking);
    ASSERT_EQ(x.get_at_end(), 70) << "seed " << seed;
    multiply_add(y.data(), 2, 0, free);
    multiply_add(y.data(), 1, 5, nullptr);
    seen.insert(y.get_at_end());
  }
  EXPECT_EQ(seen.size(), 2u);
}

TEST(Order, pinned_memory_is_read_late_and_pageable_memory_at_once) {
  set_seed(0);
  Cell x, y;
  cudaStream_t stream = make_stream();
  int* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(reinterpret_cast<void**>(&pinned), sizeof(int)), cudaSuccess);
  int pageable = 7;
  *pinned = 7;
  cudaMemcpyAsync(x.data(), pinned, sizeof(int), cudaMemcpyHostToDevice, stream);
  cudaMemcpyAsync(y.data(), &pageable, sizeof(int), cudaMemcpyHostToDevice, stream);
  *pinned = pageable = 8;
  cudaStreamSynchronize(stream);
  EXPECT_EQ(x.get(), 8);
  EXPECT_EQ(y.get(), 7);
  *pinned = 0;
  cudaMemcpyAsync(pinned, y.data(), sizeof(int), cudaMemcpyDeviceToHost, stream);
  EXPECT_EQ(*pinned, 0);
  cudaMemcpyAsync(&pageable, y.data(), sizeof(int), cudaMemcpyDeviceToHost, stream);
  EXPECT_EQ(pageable, 7);
  EXPECT_EQ(*pinned, 7);
  cudaFreeHost(pinned);
}

TEST(Order, asking_an_event_again_and_again_ends) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    set_seed(seed);
    Cell x(0);
    cudaStream_t stream = make_stream();
    cudaEvent_t event = make_event();
    for (int i = 0; i < 10; ++i) multiply_add(x.data(), 1, 1, stream);
    cudaEventRecord(event, stream);
    int asked = 0;
    while (cudaEventQuery(event) == cudaErrorNotReady) ASSERT_LT(++asked, 10000);
    EXPECT_EQ(x.get(), 10);
    cudaGetLastError();
    cudaEventDestroy(event);
    cudaStreamDestroy(stream);
  }
}

TEST(Order, host_functions_run_in_their_stream_and_may_not_call_cuda) {
  set_seed(0);
  Cell x(1);
  cudaStream_t stream = make_stream();
  struct Seen {
    int* device;
    cudaError_t answer = cudaSuccess;
    bool ran = false;
  } seen{x.data()};
  cudaLaunchHostFunc(
      stream,
      [](void* data) {
        auto* s = static_cast<Seen*>(data);
        s->answer = cudaMemset(s->device, 0, sizeof(int));
        s->ran = true;
      },
      &seen);
  EXPECT_FALSE(seen.ran);
  cudaStreamSynchronize(stream);
  EXPECT_TRUE(seen.ran);
  EXPECT_EQ(seen.answer, cudaErrorNotPermitted);
  EXPECT_EQ(x.get(), 1);
}

TEST(Order, threads_with_streams_of_their_own_do_not_disturb_each_other) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t] {
      cudaStream_t stream = make_stream();
      cudaEvent_t event = make_event();
      int* pinned = nullptr;
      cudaMallocHost(reinterpret_cast<void**>(&pinned), sizeof(int));
      int* x = nullptr;
      cudaMalloc(reinterpret_cast<void**>(&x), sizeof(int));
      cudaMemsetAsync(x, 0, sizeof(int), stream);
      for (int i = 1; i <= 50; ++i) {
        multiply_add(x, 1, t + 1, stream);
        cudaMemcpyAsync(pinned, x, sizeof(int), cudaMemcpyDeviceToHost, stream);
        cudaEventRecord(event, stream);
        EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
        EXPECT_EQ(*pinned, i * (t + 1));
      }
      cudaFree(x);
      cudaFreeHost(pinned);
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(Order, elapsed_time_is_of_events_with_timing) {
  cudaEvent_t begin = nullptr, end = nullptr, untimed = make_event();
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  Cell x(0);
  cudaEventRecord(begin, nullptr);
  multiply_add(x.data(), 1, 1, nullptr);
  cudaEventRecord(end, nullptr);
  float milliseconds = -1;
  EXPECT_CUDA(cudaErrorNotReady, cudaEventElapsedTime(&milliseconds, begin, end));
  EXPECT_CUDA(cudaSuccess, cudaEventSynchronize(end));
  EXPECT_CUDA(cudaSuccess, cudaEventElapsedTime(&milliseconds, begin, end));
  EXPECT_GT(milliseconds, 0);
  EXPECT_CUDA(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&milliseconds, begin, untimed));
}

}  // namespace
}  // namespace lockstep::ptx
