// Launches, refused where the device would refuse them, and what a kernel needs.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "tests/ptx/runtime/call.h"
#include "tests/ptx/runtime/device.h"
#include "tests/ptx/runtime/planned.h"
#include "tests/ptx/runtime/settings.h"
#include "tests/ptx/runtime/stream.h"
#include "tests/ptx/runtime/symbols.h"

namespace lockstep::emulation {
namespace {

struct Configuration {
  dim3 grid, block;
  std::size_t shared = 0;
  cudaStream_t stream = nullptr;
};
// Of <<<...>>> whose kernel has not been called yet.
thread_local std::vector<Configuration> configurations;

constexpr std::size_t kReservedShared = 1024;  // of each block, from 8.0 on

std::size_t count(const dim3& d) { return std::size_t{d.x} * d.y * d.z; }

// Registers are given to warps, 256 at a time.
std::size_t registers_of_block(const ptx::Kernel& kernel, std::size_t threads) {
  const std::size_t of_warp = (static_cast<std::size_t>(kernel.registers) * 32 + 255) / 256 * 256;
  return (threads + 31) / 32 * of_warp;
}

int most_threads(const ptx::Kernel& kernel) {
  int threads =
      kernel.max_threads > 0 ? std::min(kernel.max_threads, kThreadsPerBlock) : kThreadsPerBlock;
  while (threads > 32 &&
         registers_of_block(kernel, threads) > static_cast<std::size_t>(limits().registers))
    threads -= 32;
  return threads;
}

std::size_t most_dynamic(const Function& f) {
  if (f.dynamic_shared > 0) return f.dynamic_shared;
  return kSharedByDefault - std::min(kSharedByDefault, f.kernel->static_shared);
}

// The kernel behind a host function, or why there is none.
cudaError_t resolve(const void* host, Function*& function) {
  if (device_count() == 0) return cudaErrorNoDevice;
  function = find_function(host);
  if (function == nullptr) return cudaErrorInvalidDeviceFunction;
  if (!function->has_image) return cudaErrorNoKernelImageForDevice;
  if (function->kernel == nullptr) {
    std::fprintf(stderr, "emulated CUDA: %s is not among the translated kernels\n",
                 function->name.c_str());
    return cudaErrorInvalidDeviceFunction;
  }
  return cudaSuccess;
}

cudaError_t check(const Function& f, const Configuration& c) {
  const dim3 &g = c.grid, &b = c.block;
  if (count(g) == 0 || count(b) == 0 || g.x > 2147483647 || g.y > 65535 || g.z > 65535 ||
      b.x > 1024 || b.y > 1024 || b.z > 64 || count(b) > kThreadsPerBlock)
    return cudaErrorInvalidConfiguration;
  if (c.shared > most_dynamic(f)) return cudaErrorInvalidValue;
  if (count(b) > static_cast<std::size_t>(most_threads(*f.kernel)))
    return cudaErrorLaunchOutOfResources;
  return cudaSuccess;
}

std::shared_ptr<Work> work_of(const Function& f, const Configuration& c, void** arguments) {
  const ptx::Kernel& kernel = *f.kernel;
  std::vector<unsigned char> parameters(kernel.parameter_bytes);
  for (std::size_t i = 0; i < kernel.parameter_offsets.size(); ++i)
    std::copy_n(static_cast<const unsigned char*>(arguments[i]), kernel.parameter_sizes[i],
                parameters.data() + kernel.parameter_offsets[i]);
  auto work = std::make_shared<Work>();
  work->name = f.name;
  work->run = [&kernel, grid = c.grid, block = c.block, shared = c.shared,
               parameters = std::move(parameters)] {
    ptx::run_kernel(kernel, grid, block, shared, parameters.data());
  };
  return work;
}

cudaError_t launch_kernel(const void* host, const Configuration& c, void** arguments) {
  return call(Capturing::kSafe, [&](Lock& lock) {
    Function* function = nullptr;
    if (const cudaError_t error = resolve(host, function); error != cudaSuccess) return error;
    if (const cudaError_t error = check(*function, c); error != cudaSuccess) return error;
    Stream* stream = find_stream(c.stream);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (refused_now(function->name)) return cudaErrorLaunchOutOfResources;
    const cudaError_t error = give(*stream, work_of(*function, c, arguments));
    if (error == cudaSuccess && !stream->capture) settle(lock);
    return error;
  });
}

// Blocks of one kernel that a multiprocessor holds at a time.
int resident_blocks(const Function& f, std::size_t threads, std::size_t dynamic) {
  const Limits l = limits();
  const std::size_t whole_warps = (threads + 31) / 32 * 32;
  if (threads == 0 || threads > static_cast<std::size_t>(most_threads(*f.kernel)) ||
      dynamic > most_dynamic(f))
    return 0;
  std::size_t blocks = std::min<std::size_t>(l.blocks_per_multiprocessor,
                                             l.threads_per_multiprocessor / whole_warps);
  const std::size_t shared = f.kernel->static_shared + dynamic + kReservedShared;
  blocks = std::min(blocks, l.shared_per_multiprocessor / shared);
  if (const std::size_t registers = registers_of_block(*f.kernel, threads); registers > 0)
    blocks = std::min(blocks, static_cast<std::size_t>(l.registers) / registers);
  return static_cast<int>(blocks);
}

}  // namespace
}  // namespace lockstep::emulation

using namespace lockstep::emulation;

LOCKSTEP_API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared,
                                                  CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
LOCKSTEP_API cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared,
                                                    void* stream) {
  if (configurations.empty()) return remember(cudaErrorMissingConfiguration);
  const Configuration c = configurations.back();
  configurations.pop_back();
  *grid = c.grid;
  *block = c.block;
  *shared = c.shared;
  *static_cast<cudaStream_t*>(stream) = c.stream;
  return cudaSuccess;
}
// A kernel's handle is the address of its host function.
LOCKSTEP_API cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(host));
  return cudaSuccess;
}

LOCKSTEP_API cudaError_t cudaLaunchKernel(const void* host, dim3 grid, dim3 block, void** arguments,
                                          std::size_t shared, cudaStream_t stream) {
  return launch_kernel(host, {grid, block, shared, stream}, arguments);
}
LOCKSTEP_API cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block,
                                            void** arguments, std::size_t shared,
                                            cudaStream_t stream) {
  return launch_kernel(kernel, {grid, block, shared, stream}, arguments);
}
LOCKSTEP_API cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* host,
                                             void** arguments) {
  for (unsigned i = 0; i < c->numAttrs; ++i) {
    const cudaLaunchAttribute& a = c->attrs[i];
    const auto& cluster = a.val.clusterDim;
    if ((a.id == cudaLaunchAttributeClusterDimension && cluster.x * cluster.y * cluster.z > 1) ||
        (a.id == cudaLaunchAttributeCooperative && a.val.cooperative && count(c->gridDim) > 1))
      return remember(cudaErrorNotSupported);
  }
  return launch_kernel(host, {c->gridDim, c->blockDim, c->dynamicSmemBytes, c->stream}, arguments);
}
// Blocks run one after the other here, so they cannot wait for each other.
LOCKSTEP_API cudaError_t cudaLaunchCooperativeKernel(const void* host, dim3 grid, dim3 block,
                                                     void** arguments, std::size_t shared,
                                                     cudaStream_t stream) {
  if (count(grid) > 1) return remember(cudaErrorNotSupported);
  return launch_kernel(host, {grid, block, shared, stream}, arguments);
}

LOCKSTEP_API cudaError_t cudaFuncSetAttribute(const void* host, cudaFuncAttribute attribute,
                                              int value) {
  return call(Capturing::kSafe, [&](Lock&) {
    Function* function = nullptr;
    if (const cudaError_t error = resolve(host, function); error != cudaSuccess) return error;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaErrorInvalidValue;
    if (value < 0 || value + function->kernel->static_shared > limits().shared_per_block)
      return cudaErrorInvalidValue;
    function->dynamic_shared = static_cast<std::size_t>(value);
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaFuncSetCacheConfig(const void*, cudaFuncCache) { return cudaSuccess; }
LOCKSTEP_API cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* host) {
  return call(Capturing::kSafe, [&](Lock&) {
    Function* function = nullptr;
    if (const cudaError_t error = resolve(host, function); error != cudaSuccess) return error;
    *attributes = {};
    attributes->sharedSizeBytes = function->kernel->static_shared;
    attributes->numRegs = function->kernel->registers;
    attributes->maxThreadsPerBlock = most_threads(*function->kernel);
    attributes->maxDynamicSharedSizeBytes = static_cast<int>(most_dynamic(*function));
    attributes->ptxVersion = attributes->binaryVersion = 10 * settings().major + settings().minor;
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaFuncGetName(const char** name, const void* host) {
  return call(Capturing::kSafe, [&](Lock&) {
    const Function* function = find_function(host);
    if (function == nullptr) return cudaErrorInvalidDeviceFunction;
    *name = function->mangled.c_str();
    return cudaSuccess;
  });
}

LOCKSTEP_API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    int* blocks, const void* host, int threads, std::size_t dynamic, unsigned) {
  return call(Capturing::kSafe, [&](Lock&) {
    Function* function = nullptr;
    if (const cudaError_t error = resolve(host, function); error != cudaSuccess) return error;
    *blocks = resident_blocks(*function, static_cast<std::size_t>(threads), dynamic);
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks,
                                                                       const void* host,
                                                                       int threads,
                                                                       std::size_t dynamic) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, host, threads, dynamic, 0);
}
