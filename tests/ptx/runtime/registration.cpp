// What the compiler's start-up code of each .cu file calls.
#include <cuda_runtime_api.h>
#include <cxxabi.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "tests/ptx/runtime/call.h"
#include "tests/ptx/runtime/memory.h"
#include "tests/ptx/runtime/settings.h"
#include "tests/ptx/runtime/symbols.h"

namespace lockstep::emulation {
namespace {

// One .cu file's code for several architectures.
struct Module {
  bool has_image = true;
};

struct Symbols {
  std::unordered_map<const void*, Function> functions;
  std::unordered_map<const void*, std::string> variables;  // mangled
};
// Never destroyed, and made when the first static constructor of the program calls.
Symbols& symbols() {
  static Symbols& s = *new Symbols;
  return s;
}

template <class T>
T read(const unsigned char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Whether a fat binary holds code for the capability: PTX of the same or an older one, or machine
// code of the same major number and not a newer minor one.
bool has_image(const void* wrapper) {
  constexpr std::uint32_t kWrapper = 0x466243B1, kFatBinary = 0xBA55ED50;
  constexpr std::uint16_t kPtx = 1, kMachineCode = 2;
  const auto* w = static_cast<const unsigned char*>(wrapper);
  if (read<std::uint32_t>(w) != kWrapper) return true;
  const auto* at = read<const unsigned char*>(w + 8);
  if (read<std::uint32_t>(at) != kFatBinary) return true;
  const auto* end = at + read<std::uint16_t>(at + 6) + read<std::uint64_t>(at + 8);
  const unsigned played = 10 * settings().major + settings().minor;
  bool any = false;
  for (at += read<std::uint16_t>(at + 6); at + 32 <= end;) {
    const auto kind = read<std::uint16_t>(at);
    const auto code = read<std::uint32_t>(at + 28);
    any = any || kind == kPtx || kind == kMachineCode;
    if (kind == kPtx && code <= played) return true;
    if (kind == kMachineCode && code / 10 == played / 10 && code <= played) return true;
    at += read<std::uint32_t>(at + 4) + read<std::uint64_t>(at + 8);
  }
  return !any;
}

std::string source_name(const char* mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(mangled, nullptr, nullptr, &status), std::free);
  if (status != 0) return mangled;
  const std::string full = text.get();
  return "kernel " + full.substr(0, full.rfind('('));  // without the parameters
}

}  // namespace

Function* find_function(const void* host) {
  const auto found = symbols().functions.find(host);
  if (found == symbols().functions.end()) return nullptr;
  Function& function = found->second;
  if (function.kernel == nullptr) {
    function.kernel = ptx::find_kernel(function.mangled);
    function.name = source_name(function.mangled.c_str());
  }
  return &function;
}

ptx::Variable find_symbol(const void* host) {
  const auto found = symbols().variables.find(host);
  return found == symbols().variables.end() ? ptx::Variable{} : ptx::find_variable(found->second);
}

}  // namespace lockstep::emulation

using namespace lockstep::emulation;

LOCKSTEP_API void** __cudaRegisterFatBinary(void* wrapper) {
  return reinterpret_cast<void**>(new Module{has_image(wrapper)});  // freed when it is unregistered
}
LOCKSTEP_API void __cudaRegisterFatBinaryEnd(void**) {}
LOCKSTEP_API void __cudaUnregisterFatBinary(void** module) {
  delete reinterpret_cast<Module*>(module);
}
LOCKSTEP_API char __cudaInitModule(void**) { return 1; }
LOCKSTEP_API void __cudaRegisterFunction(void** module, const char* host, char*, const char* name,
                                         int, uint3*, uint3*, dim3*, dim3*, int*) {
  Lock lock(state_mutex());
  Function& function = symbols().functions[host];
  function.mangled = name;
  function.has_image = reinterpret_cast<Module*>(module)->has_image;
}
LOCKSTEP_API void __cudaRegisterVar(void**, char* host, char*, const char* name, int, std::size_t,
                                    int, int) {
  Lock lock(state_mutex());
  symbols().variables[host] = name;
  if (const lockstep::ptx::Variable v = lockstep::ptx::find_variable(name); v.data)
    add_variable(v.data, v.bytes);
}
LOCKSTEP_API void __cudaRegisterManagedVar(void**, void** host, char*, const char* name, int,
                                           std::size_t, int, int) {
  Lock lock(state_mutex());
  symbols().variables[host] = name;
}
