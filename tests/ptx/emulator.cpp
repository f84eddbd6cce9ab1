#include "tests/ptx/emulator.h"

#include <cxxabi.h>
#include <xmmintrin.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <random>

#include "tests/ptx/block.h"
#include "tests/ptx/checkers.h"

namespace lockstep::ptx {

namespace {

constexpr unsigned kMaxThreads = 1024;
constexpr std::size_t kMaxShared = 227 << 10;
// The race check knows some thousand threads at a time; a grid of up to so many is one in which the
// threads of different blocks are not ordered either.
constexpr std::size_t kThreadsAtOnce = 2048;

std::map<std::string, Kernel, std::less<>>& kernels() {
  static std::map<std::string, Kernel, std::less<>> all;
  return all;
}
std::map<std::string, Variable, std::less<>>& variables() {
  static std::map<std::string, Variable, std::less<>> all;
  return all;
}

std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free);
  return status == 0 ? text.get() : name;
}

std::string text_of(const uint3& i) {
  return "(" + std::to_string(i.x) + ", " + std::to_string(i.y) + ", " + std::to_string(i.z) + ")";
}

unsigned order_setting() {
  const char* text = std::getenv("LOCKSTEP_EMULATION_ORDER");
  return text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : 0;
}

// The numbers 0 to count - 1 as they take turns.
std::vector<unsigned> turns(std::size_t count, unsigned order) {
  std::vector<unsigned> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0u);
  if (order == 1) std::reverse(numbers.begin(), numbers.end());
  if (order > 1) {
    std::mt19937 random(order);
    for (std::size_t i = count; i > 1; --i) std::swap(numbers[i - 1], numbers[random() % i]);
  }
  return numbers;
}

// Kernels round to nearest and keep denormals, whatever the host program has set for itself.
class FloatEnvironment {
 public:
  FloatEnvironment() { _mm_setcsr(0x1F80); }
  ~FloatEnvironment() { _mm_setcsr(saved_); }

 private:
  unsigned saved_ = _mm_getcsr();
};

[[noreturn]] void refuse(const Kernel& kernel, const std::string& what) {
  throw KernelError("kernel " + demangled(kernel.name) + ": " + what);
}

void check_launch(const Kernel& kernel, const dim3& grid, const dim3& block, std::size_t shared) {
  const std::size_t threads = std::size_t{block.x} * block.y * block.z;
  const std::size_t most = kernel.max_threads > 0 ? kernel.max_threads : kMaxThreads;
  if (threads < 1 || threads > most)
    refuse(kernel,
           std::to_string(threads) + " threads a block; it takes 1 to " + std::to_string(most));
  if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.y > 65535 || grid.z > 65535)
    refuse(kernel, "a grid of " + text_of({grid.x, grid.y, grid.z}) + " blocks");
  if (shared > kMaxShared)
    refuse(kernel, "too much shared memory: " + std::to_string(shared) + " bytes a block, of " +
                       std::to_string(kMaxShared));
}

}  // namespace

void add_kernel(Kernel kernel) {
  std::string name = kernel.name;
  kernels().insert_or_assign(std::move(name), std::move(kernel));
}
void add_variable(const char* name, Variable variable) { variables()[name] = variable; }

const Kernel* find_kernel(std::string_view name) {
  const auto found = kernels().find(name);
  return found == kernels().end() ? nullptr : &found->second;
}
Variable find_variable(std::string_view name) {
  const auto found = variables().find(name);
  return found == variables().end() ? Variable{} : found->second;
}

void run_kernel(const Kernel& kernel, dim3 grid, dim3 block, std::size_t dynamic_shared,
                const void* parameters) {
  const std::size_t shared = kernel.static_shared + dynamic_shared;
  check_launch(kernel, grid, block, shared);
  const FloatEnvironment environment;
  BlockPlace place;
  place.kernel = &kernel;
  place.parameters = static_cast<const std::uint8_t*>(parameters);
  place.grid = grid;
  place.extent = block;
  place.shared.bytes = static_cast<std::uint32_t>(shared);
  place.dynamic_shared = static_cast<std::uint32_t>(dynamic_shared);

  const unsigned order = order_setting();
  const std::size_t threads = std::size_t{block.x} * block.y * block.z;
  const std::size_t blocks = std::size_t{grid.x} * grid.y * grid.z;
  const std::vector<unsigned> thread_turns = turns(threads, order),
                              block_turns = turns(blocks, order);
  const std::size_t at_once =
      kRaceCheck ? std::clamp<std::size_t>(kThreadsAtOnce / threads, 1, blocks) : 1;
  static thread_local Stacks stacks;
  stacks.reserve(at_once * threads);
  std::vector<std::unique_ptr<Block>> running;
  for (std::size_t i = 0; i < at_once; ++i)
    running.push_back(std::make_unique<Block>(place, thread_turns, stacks, i * threads));
  for (std::size_t first = 0; first < blocks; first += at_once) {
    const std::size_t count = std::min(at_once, blocks - first);
    for (std::size_t i = 0; i < count; ++i) {
      const unsigned number = block_turns[first + i];
      running[i]->prepare({number % grid.x, number / grid.x % grid.y, number / (grid.x * grid.y)});
    }
    for (std::size_t i = 0; i < count; ++i) running[i]->run();
  }
}

// Errors -----------------------------------------------------------------------------------------

void fail(const Thread& thread, const char* at, const char* what) {
  refuse(*thread.place->kernel, "block " + text_of(thread.place->index) + ", thread " +
                                    text_of(thread.index) + ": " + what + "; at " + at);
}

void fail_address(const Thread& thread, const char* at, std::uint64_t address, unsigned bytes) {
  char text[128];
  std::snprintf(text, sizeof text, "%s 0x%llx of %u bytes",
                address < 4096 ? "null pointer, address" : "misaligned address",
                static_cast<unsigned long long>(address), bytes);
  fail(thread, at, text);
}

void fail_shared(const Thread& thread, const char* at, std::uint64_t offset, unsigned bytes) {
  char text[160];
  std::snprintf(text, sizeof text,
                "shared memory from %lld on, %u bytes, is outside the %u bytes of the launch",
                static_cast<long long>(static_cast<std::int32_t>(offset)), bytes,
                thread.place->shared.bytes);
  fail(thread, at, text);
}

}  // namespace lockstep::ptx
