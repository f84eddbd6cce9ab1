// Device memory: who may touch it, what copies are refused, and failures that stay. Run with
// LOCKSTEP_EMULATION_MEMORY=64M.
#include <cstring>
#include <vector>

#include "tests/ptx/runtime_fixture.h"

namespace lockstep::ptx {
namespace {

void* allocate(std::size_t bytes) {
  void* data = nullptr;
  EXPECT_CUDA(cudaSuccess, cudaMalloc(&data, bytes));
  return data;
}

// A child of fork() has no device, so each death is a program started anew.
class Memory : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(Memory, the_host_that_touches_it_dies_with_a_sentence) {
  EXPECT_EXIT(
      {
        auto* x = static_cast<volatile int*>(allocate(100));
        x[3] = 1;
      },
      ::testing::ExitedWithCode(70), "the host touched device memory: byte 12 of allocation 1");
  EXPECT_EXIT(
      {
        auto* x = static_cast<volatile int*>(allocate(100));
        cudaMemset(const_cast<int*>(x), 0, 100);
        cudaDeviceSynchronize();
        const int read = x[0];
        std::fprintf(stderr, "%d\n", read);
      },
      ::testing::ExitedWithCode(70), "the host touched device memory");
}

TEST_F(Memory, a_stray_kernel_is_named_and_spoils_every_later_call) {
  EXPECT_EXIT(
      {
        auto* x = static_cast<int*>(allocate(256));
        write_at(x, 64, nullptr);
        const bool late = cudaPeekAtLastError() == cudaSuccess;
        const cudaError_t first = cudaDeviceSynchronize();
        void* more = nullptr;
        const cudaError_t then = cudaMalloc(&more, 4);
        cudaGetLastError();
        const cudaError_t at_last = cudaGetLastError();
        std::_Exit(late && first == cudaErrorIllegalAddress && then == first && at_last == first);
      },
      ::testing::ExitedWithCode(1),
      "write.*touched.*0 bytes behind the end of allocation 1 \\(256");
}

TEST_F(Memory, writes_into_the_last_bytes_before_the_guard_are_seen_when_it_is_freed) {
  EXPECT_EXIT(
      {
        auto* x = static_cast<int*>(allocate(100));
        write_at(x, 25, nullptr);
        cudaFree(x);
      },
      ::testing::ExitedWithCode(70), "wrote behind the end of allocation 1");
}

TEST_F(Memory, fresh_memory_is_not_zero) {
  void* data = allocate(8);
  float x[2];
  EXPECT_CUDA(cudaSuccess, cudaMemcpy(x, data, 8, cudaMemcpyDeviceToHost));
  EXPECT_NE(x[0], x[0]);
  EXPECT_NE(x[1], x[1]);
  cudaFree(data);
}

TEST_F(Memory, copies_out_of_range_or_in_the_wrong_direction_are_refused) {
  char* x = static_cast<char*>(allocate(100));
  char host[200] = {};
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(x, host, 101, cudaMemcpyDefault));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(x + 50, host, 51, cudaMemcpyHostToDevice));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(host, x, 10, cudaMemcpyHostToDevice));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(x, host, 10, cudaMemcpyDeviceToDevice));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemset(x, 0, 101));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemset(host, 0, 1));
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  cudaFree(x);
  EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(x, host, 1, cudaMemcpyHostToDevice));
  EXPECT_CUDA(cudaErrorInvalidValue, cudaFree(x));
  cudaGetLastError();
}

TEST_F(Memory, it_runs_out_and_comes_back) {
  std::size_t left = 0, total = 0;
  EXPECT_CUDA(cudaSuccess, cudaMemGetInfo(&left, &total));
  EXPECT_EQ(total, std::size_t{64} << 20);
  void* data = allocate(total / 2);
  void* more = nullptr;
  EXPECT_CUDA(cudaErrorMemoryAllocation, cudaMalloc(&more, total / 2 + 1));
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_CUDA(cudaSuccess, cudaMemGetInfo(&left, &total));
  EXPECT_EQ(left, total / 2);
  cudaFree(data);
  more = allocate(total);
  cudaFree(more);
}

TEST_F(Memory, pointers_say_where_they_lie) {
  const auto type = [](const void* data) {
    cudaPointerAttributes attributes;
    EXPECT_CUDA(cudaSuccess, cudaPointerGetAttributes(&attributes, data));
    return attributes.type;
  };
  char* device = static_cast<char*>(allocate(100));
  char* pinned = nullptr;
  cudaMallocHost(reinterpret_cast<void**>(&pinned), 100);
  std::vector<char> host(100);
  EXPECT_EQ(type(device + 99), cudaMemoryTypeDevice);
  EXPECT_EQ(type(pinned), cudaMemoryTypeHost);
  EXPECT_EQ(type(host.data()), cudaMemoryTypeUnregistered);
  EXPECT_CUDA(cudaSuccess, cudaHostRegister(host.data(), 100, 0));
  EXPECT_CUDA(cudaErrorHostMemoryAlreadyRegistered, cudaHostRegister(host.data() + 50, 100, 0));
  EXPECT_EQ(type(host.data()), cudaMemoryTypeHost);
  EXPECT_CUDA(cudaSuccess, cudaHostUnregister(host.data()));
  EXPECT_CUDA(cudaErrorHostMemoryNotRegistered, cudaHostUnregister(host.data()));
  cudaGetLastError();
  cudaFree(device);
  cudaFreeHost(pinned);
}

TEST_F(Memory, rows_are_copied_at_their_pitches) {
  char* x = static_cast<char*>(allocate(64));
  char host[64], back[64];
  for (int i = 0; i < 64; ++i) host[i] = static_cast<char>(i), back[i] = 0;
  EXPECT_CUDA(cudaSuccess, cudaMemcpy2D(x, 8, host, 16, 5, 4, cudaMemcpyHostToDevice));
  EXPECT_CUDA(cudaSuccess, cudaMemcpy2D(back, 10, x, 8, 5, 4, cudaMemcpyDeviceToHost));
  for (int r = 0; r < 4; ++r)
    for (int c = 0; c < 10; ++c) EXPECT_EQ(back[10 * r + c], c < 5 ? host[16 * r + c] : 0);
  cudaFree(x);
}

}  // namespace
}  // namespace lockstep::ptx
