#include "tests/ptx/runtime/planned.h"

#include <atomic>

#include "tests/ptx/runtime/settings.h"

namespace lockstep::emulation {
namespace {

bool is_next(const Choice& choice, const std::string& name, std::atomic<std::uint64_t>& met) {
  if (choice.number == 0 || name.find(choice.name) == name.npos) return false;
  return ++met == choice.number;
}

}  // namespace

bool fails_now(const std::string& name) {
  static std::atomic<std::uint64_t> met{0};
  return is_next(settings().fail, name, met);
}

bool refused_now(const std::string& name) {
  static std::atomic<std::uint64_t> met{0};
  return is_next(settings().refuse, name, met);
}

}  // namespace lockstep::emulation
