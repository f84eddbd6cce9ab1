// Launches that a device refuses, and what it says of itself. Run with
// LOCKSTEP_EMULATION_CAPABILITY=8.0 and 4 devices.
#include <cstdlib>
#include <string>

#include "tests/ptx/runtime_fixture.h"

namespace lockstep::ptx {
namespace {

cudaError_t launch(const void* kernel, dim3 grid, dim3 block, std::size_t shared = 0) {
  static Cell x;
  int* data = x.data();
  void* arguments[] = {&data};
  const cudaError_t error = cudaLaunchKernel(kernel, grid, block, arguments, shared, nullptr);
  EXPECT_EQ(cudaGetLastError(), error);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  return error;
}

TEST(Limits, of_grids_and_blocks) {
  const void* kernel = shared_kernel();
  EXPECT_EQ(launch(kernel, dim3(1), dim3(1024), 4096), cudaSuccess);
  EXPECT_EQ(launch(kernel, dim3(1), dim3(1025), 8192), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(kernel, dim3(1), dim3(1, 1, 65), 512), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(kernel, dim3(0), dim3(1), 4), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(kernel, dim3(1, 65536), dim3(1), 4), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(bounded_kernel(), dim3(1), dim3(64)), cudaSuccess);
  EXPECT_EQ(launch(bounded_kernel(), dim3(1), dim3(65)), cudaErrorLaunchOutOfResources);
}

TEST(Limits, of_shared_memory) {
  const void* kernel = shared_kernel();
  EXPECT_EQ(launch(kernel, dim3(1), dim3(32), 48 << 10), cudaSuccess);
  EXPECT_EQ(launch(kernel, dim3(1), dim3(32), (48 << 10) + 1), cudaErrorInvalidValue);
  const auto allow = [&](int bytes) {
    const auto what = cudaFuncAttributeMaxDynamicSharedMemorySize;
    const cudaError_t error = cudaFuncSetAttribute(kernel, what, bytes);
    cudaGetLastError();
    return error;
  };
  EXPECT_EQ(allow((163 << 10) + 1), cudaErrorInvalidValue);
  EXPECT_EQ(allow(100 << 10), cudaSuccess);
  EXPECT_EQ(launch(kernel, dim3(1), dim3(32), 100 << 10), cudaSuccess);
  EXPECT_EQ(launch(kernel, dim3(1), dim3(32), (100 << 10) + 1), cudaErrorInvalidValue);
  cudaFuncAttributes attributes;
  EXPECT_CUDA(cudaSuccess, cudaFuncGetAttributes(&attributes, kernel));
  EXPECT_EQ(attributes.maxDynamicSharedSizeBytes, 100 << 10);
  int blocks = 0;
  EXPECT_CUDA(cudaSuccess,
              cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, 256, 40 << 10));
  EXPECT_EQ(blocks, 4);  // 4 (40 KiB + 1 KiB reserved) = 164 KiB
}

TEST(Limits, unknown_functions_are_refused) {
  static const int nothing = 0;
  EXPECT_EQ(launch(&nothing, dim3(1), dim3(1)), cudaErrorInvalidDeviceFunction);
}

TEST(Limits, devices_have_names_of_their_own) {
  int count = 0;
  EXPECT_CUDA(cudaSuccess, cudaGetDeviceCount(&count));
  ASSERT_EQ(count, 4);
  cudaDeviceProp first, second;
  EXPECT_CUDA(cudaSuccess, cudaGetDeviceProperties(&first, 0));
  EXPECT_CUDA(cudaSuccess, cudaGetDeviceProperties(&second, 1));
  EXPECT_NE(std::string(first.uuid.bytes, 16), std::string(second.uuid.bytes, 16));
  EXPECT_EQ(10 * first.major + first.minor, 80);
  EXPECT_CUDA(cudaErrorInvalidDevice, cudaSetDevice(4));
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  int can = 0;
  EXPECT_CUDA(cudaSuccess, cudaDeviceCanAccessPeer(&can, 0, 1));
  EXPECT_EQ(can, 1);
  EXPECT_CUDA(cudaSuccess, cudaDeviceEnablePeerAccess(1, 0));
  EXPECT_CUDA(cudaErrorPeerAccessAlreadyEnabled, cudaDeviceEnablePeerAccess(1, 0));
  cudaGetLastError();
}

// The lists are read when a process first asks, so each is a program started anew.
TEST(Limits, visible_devices_follow_the_list) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto seen = [](const char* list) {
    setenv("CUDA_VISIBLE_DEVICES", list, 1);
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    cudaDeviceProp p{};
    if (error == cudaSuccess) cudaGetDeviceProperties(&p, 0);
    std::fprintf(stderr, "%s %d %d %d\n", cudaGetErrorName(error), count, p.uuid.bytes[14],
                 p.uuid.bytes[15]);
    std::_Exit(0);
  };
  const auto ok = ::testing::ExitedWithCode(0);
  EXPECT_EXIT(seen("2,0"), ok, "cudaSuccess 2 0 2");
  EXPECT_EXIT(seen(""), ok, "cudaErrorNoDevice 0");
  EXPECT_EXIT(seen("1,9,2"), ok, "cudaSuccess 1 0 1");
  EXPECT_EXIT(seen("1,1"), ok, "cudaErrorNoDevice 0");
  EXPECT_EXIT(seen("GPU-4c6f636b-7374-6570-0000-000000000003"), ok, "cudaSuccess 1 0 3");
  EXPECT_EXIT(seen("MIG-4c6f636b-7374-6570-0000-000000000201,0"), ok, "cudaSuccess 1 2 1");
}

// Settings are read when a program starts: those of this process are for the one started next.
TEST(Limits, launches_and_runs_fail_as_asked) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto four = [] {
    Cell x(1);
    for (int i = 0; i < 4; ++i)
      std::fprintf(stderr, "%s, ", cudaGetErrorName(multiply_add(x.data(), 1, 1, nullptr)));
    const cudaError_t end = cudaDeviceSynchronize();
    std::fprintf(stderr, "%s, %d", cudaGetErrorName(end), end == cudaSuccess ? x.get() : 0);
    std::_Exit(0);
  };
  const auto ok = ::testing::ExitedWithCode(0);
  setenv("LOCKSTEP_EMULATION_FAIL", "multiply_add:3", 1);
  EXPECT_EXIT(four(), ok, "multiply_add.*: fails as LOCKSTEP_EMULATION_FAIL asks");
  EXPECT_EXIT(four(), ok, "cudaErrorLaunchFailure, 0");
  setenv("LOCKSTEP_EMULATION_FAIL", "multiply_add:5", 1);
  EXPECT_EXIT(four(), ok, "cudaSuccess, 5");
  setenv("LOCKSTEP_EMULATION_FAIL", "multiply_add", 1);
  EXPECT_EXIT(four(), ::testing::ExitedWithCode(2), "a part of a kernel's name and which time");
  unsetenv("LOCKSTEP_EMULATION_FAIL");
  setenv("LOCKSTEP_EMULATION_REFUSE", "multiply_add:3", 1);
  EXPECT_EXIT(four(), ok,
              "cudaSuccess, cudaSuccess, cudaErrorLaunchOutOfResources, cudaSuccess, "
              "cudaSuccess, 4");
  unsetenv("LOCKSTEP_EMULATION_REFUSE");
}

}  // namespace
}  // namespace lockstep::ptx
