#include "lockstep/core/isa.h"

#include <immintrin.h>

#include <atomic>
#include <fstream>

#include "lockstep/core/error.h"

namespace lockstep {
namespace {

std::atomic<Isa> current{detected_isa()};

}  // namespace

Isa detected_isa() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    return Isa::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::kAvx2;
  return Isa::kPlain;
}

Isa isa() { return current; }

void cap_isa(Isa cap) {
  if (cap < current) current = cap;
}

std::string_view name_of(Isa isa) {
  switch (isa) {
    case Isa::kAvx512: return "avx512";
    case Isa::kAvx2: return "avx2";
    case Isa::kPlain: break;
  }
  return "plain";
}

Isa isa_from(std::string_view name) {
  for (Isa isa : {Isa::kPlain, Isa::kAvx2, Isa::kAvx512}) {
    if (name_of(isa) == name) return isa;
  }
  throw UserError("'{}' is not an instruction set; use avx512, avx2 or plain", name);
}

void set_float_environment() { _mm_setcsr(0x1F80); }

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  std::string line;
  while (std::getline(in, line)) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace lockstep
