#define SIMT_IMPLEMENTATION
#include "tests/ptx/emulator.h"

#include "tests/ptx/ptxrt.h"

namespace lockstep::ptx {

const Kernel* find_kernel(std::string_view name) {
  const auto found = ::ptx::table().find(std::string(name));
  return found == ::ptx::table().end() ? nullptr : &found->second;
}
Variable find_variable(std::string_view name) {
  const auto found = ::ptx::vars().find(std::string(name));
  return found == ::ptx::vars().end() ? Variable{} : found->second;
}
void run_kernel(const Kernel& kernel, dim3 grid, dim3 block, std::size_t dynamic,
                const void* parameters) {
  ::ptx::dyn_size = dynamic;
  ::ptx::smem_size = kernel.static_shared + dynamic;
  const auto* bytes = static_cast<const std::uint8_t*>(parameters);
  std::vector<std::uint8_t> copy(bytes, bytes + kernel.parameter_bytes);
  auto code = kernel.code;
  const std::uint8_t* q = copy.data();
  try {
    simt::run_grid(grid, block, ::ptx::smem_size, [code, q] { code(q); });
  } catch (const std::exception& error) {
    throw KernelError(std::string(kernel.name) + ": " + error.what());
  }
}

}  // namespace lockstep::ptx
