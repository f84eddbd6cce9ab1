// Launches a translated kernel by its name, for the emulator's own tests.
#pragma once
#include <cstring>
#include <vector>

#include "tests/ptx/emulator.h"

namespace lockstep::ptx {

template <class... Arguments>
void launch(const char* name, dim3 grid, dim3 block, std::size_t dynamic_shared,
            Arguments... arguments) {
  const Kernel* kernel = find_kernel(name);
  if (kernel == nullptr) throw KernelError(std::string("no kernel ") + name);
  std::vector<std::uint8_t> parameters(kernel->parameter_bytes);
  std::size_t i = 0;
  const auto place = [&](const auto& argument) {
    std::memcpy(&parameters[kernel->parameter_offsets.at(i)], &argument,
                kernel->parameter_sizes.at(i));
    ++i;
  };
  (place(arguments), ...);
  run_kernel(*kernel, grid, block, dynamic_shared, parameters.data());
}

}  // namespace lockstep::ptx
