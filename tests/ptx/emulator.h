// Runs CUDA kernels on the CPU: their PTX, translated to C++ when this was built, one fiber for
// each CUDA thread. Knows PTX and nothing of the CUDA runtime: streams, events and memory are the
// stand-in libcudart's (tests/ptx/runtime).
#pragma once
#include <vector_types.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::ptx {

struct Thread;

// One translated kernel; lives as long as the library that holds it.
struct Kernel {
  const char* name = nullptr;  // mangled, as the host program registers it
  std::size_t parameter_bytes = 0;
  std::vector<std::size_t> parameter_offsets, parameter_sizes;  // bytes, one of each a parameter
  std::size_t static_shared = 0;  // bytes; dynamic shared memory starts behind them
  int registers = 0;              // of a thread, as ptxas counts them; 0: not known
  int max_threads = 0;            // of a block, from __launch_bounds__; 0: not given
  void (*code)(Thread& self) = nullptr;
};

// A __device__ or __constant__ variable; data is null where there is none of that name.
struct Variable {
  void* data = nullptr;
  std::size_t bytes = 0;
};

// What a kernel does that a GPU would refuse, hang at or silently get wrong. Says which kernel,
// block, thread and, where it is known, which PTX instruction.
struct KernelError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Null where there is no translation of that name.
const Kernel* find_kernel(std::string_view mangled_name);
Variable find_variable(std::string_view mangled_name);

// Runs a whole grid and returns when it has ended. parameters: kernel.parameter_bytes bytes.
// Several operating-system threads may call it at once. LOCKSTEP_EMULATION_ORDER says how threads
// and blocks take turns: 0 up, 1 down, n shuffled by seed n. Throws KernelError.
void run_kernel(const Kernel& kernel, dim3 grid, dim3 block, std::size_t dynamic_shared,
                const void* parameters);

// Of translated code, while the library that holds it is loaded.
void add_kernel(Kernel kernel);
void add_variable(const char* mangled_name, Variable variable);

}  // namespace lockstep::ptx
