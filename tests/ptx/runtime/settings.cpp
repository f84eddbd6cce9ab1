#include "tests/ptx/runtime/settings.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace lockstep::emulation {
namespace {

[[noreturn]] void refuse(const char* name, const char* text, const char* expected) {
  std::fprintf(stderr, "emulated CUDA: %s=%s, but it wants %s\n", name, text, expected);
  std::_Exit(2);
}

std::uint64_t number(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == 0) return otherwise;
  char* end = nullptr;
  std::uint64_t value = std::strtoull(text, &end, 10);
  if (*end == 'K')
    value <<= 10, ++end;
  else if (*end == 'M')
    value <<= 20, ++end;
  else if (*end == 'G')
    value <<= 30, ++end;
  if (*end != 0)
    refuse(name, text, "a whole number, with K, M or G behind it for 2^10, 2^20, 2^30");
  return value;
}

Choice choice(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == 0) return {};
  const char* colon = std::strrchr(text, ':');
  const std::uint64_t number = colon == nullptr ? 0 : std::strtoull(colon + 1, nullptr, 10);
  if (number == 0 || colon == text)
    refuse(name, text, "a part of a kernel's name and which time from 1, name:3");
  return {std::string(text, colon), number};
}

Settings read() {
  Settings s;
  s.devices = static_cast<int>(number("LOCKSTEP_EMULATION_DEVICES", 4));
  s.memory = number("LOCKSTEP_EMULATION_MEMORY", s.memory);
  s.seed = number("LOCKSTEP_EMULATION_SEED", 0);
  s.eager = number("LOCKSTEP_EMULATION_EAGER", number("CUDA_LAUNCH_BLOCKING", 0)) != 0;
  s.fail = choice("LOCKSTEP_EMULATION_FAIL");
  s.refuse = choice("LOCKSTEP_EMULATION_REFUSE");
  s.peer_access = number("LOCKSTEP_EMULATION_PEER", 1) != 0;
  s.ipc = number("LOCKSTEP_EMULATION_IPC", 1) != 0;
  s.guard = static_cast<int>(number("LOCKSTEP_EMULATION_GUARD", 1));
  s.trace = number("LOCKSTEP_EMULATION_TRACE", 0) != 0;
  if (const char* text = std::getenv("LOCKSTEP_EMULATION_CAPABILITY"); text != nullptr && *text)
    if (std::sscanf(text, "%d.%d", &s.major, &s.minor) != 2)
      refuse("LOCKSTEP_EMULATION_CAPABILITY", text, "a compute capability: 7.5, 8.0, 9.0");
  return s;
}

}  // namespace

const Settings& settings() {
  static const Settings s = read();
  return s;
}

}  // namespace lockstep::emulation
