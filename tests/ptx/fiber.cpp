#include "tests/ptx/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

#include "tests/ptx/checkers.h"

#ifndef __x86_64__
#error "The emulation's switch of stacks is written for x86-64; configure with -DLOCKSTEP_CUDA=OFF"
#endif

// lockstep_ptx_switch(&save, to): pushes the registers that a call preserves, leaves the stack
// pointer in save, and takes up `to`. A new stack begins with six zeros for them and
// lockstep_ptx_begin.
asm(R"(
.text
.globl lockstep_ptx_switch
.hidden lockstep_ptx_switch
.type lockstep_ptx_switch, @function
lockstep_ptx_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.globl lockstep_ptx_begin
.hidden lockstep_ptx_begin
.type lockstep_ptx_begin, @function
lockstep_ptx_begin:
  movq %rbx, %rdi
  xorl %ebp, %ebp
  call lockstep_ptx_enter
  ud2
)");
extern "C" void lockstep_ptx_switch(void** save, void* to);
extern "C" void lockstep_ptx_begin();

namespace lockstep::ptx {

namespace {
constexpr std::size_t kStackBytes = 256 << 10, kPage = 4096;
// From 16 bytes below the stack's end: three cache lines further for each, within one page.
constexpr std::size_t kSpread = 3 * 64;

#ifdef LOCKSTEP_CHECK_thread
// The race check's contexts of fibers that have ended: making one costs a millisecond. Whoever
// takes one up comes after all that its maker and those before it did.
class RaceContexts {
 public:
  void* take() {
    if (free_.empty()) return __tsan_create_fiber(0);
    void* const context = free_.back();
    free_.pop_back();
    return context;
  }
  void give(void* context) { free_.push_back(context); }

 private:
  std::vector<void*> free_;
};
thread_local RaceContexts race_contexts;
#endif
}  // namespace

Stacks::~Stacks() {
  if (memory_) munmap(memory_, count_ * kStackBytes);
}

void Stacks::reserve(std::size_t count) {
  if (count <= count_) return;
  if (memory_) munmap(memory_, count_ * kStackBytes);
  void* memory = mmap(nullptr, count * kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<char*>(memory);
  count_ = count;
  for (std::size_t i = 0; i < count; ++i) mprotect(memory_ + i * kStackBytes, kPage, PROT_NONE);
}

Stack Stacks::at(std::size_t i) const {
  return {memory_ + i * kStackBytes + kPage, kStackBytes - kPage - i * kSpread % kPage};
}

void Fiber::prepare(Entry entry, void* argument) {
  entry_ = entry;
  argument_ = argument;
#ifdef LOCKSTEP_CHECK_thread
  race_context_ = race_contexts.take();
  release(this);
#endif
}

void Fiber::take(Stack stack) {
  stack_ = stack;
  const auto top = reinterpret_cast<std::uintptr_t>(stack.low + stack.bytes) & ~std::uintptr_t{15};
  auto** slot = reinterpret_cast<void**>(top);
  *--slot = nullptr;
  *--slot = nullptr;
  *--slot = reinterpret_cast<void*>(&lockstep_ptx_begin);
  *--slot = nullptr;  // rbp
  *--slot = this;     // rbx
  for (int i = 0; i < 4; ++i) *--slot = nullptr;
  stack_pointer_ = slot;
}

void Fiber::drop() {
  stack_ = {};
#ifdef LOCKSTEP_CHECK_thread
  if (race_context_) race_contexts.give(race_context_);
  race_context_ = nullptr;
#endif
}

void Fiber::resume() {
#ifdef LOCKSTEP_CHECK_address
  __sanitizer_start_switch_fiber(&caller_fake_stack_, stack_.low, stack_.bytes);
#endif
#ifdef LOCKSTEP_CHECK_thread
  race_caller_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(race_context_, 1);  // 1: the switch orders nothing
#endif
  lockstep_ptx_switch(&caller_pointer_, stack_pointer_);
#ifdef LOCKSTEP_CHECK_address
  __sanitizer_finish_switch_fiber(caller_fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
#ifdef LOCKSTEP_CHECK_address
  __sanitizer_start_switch_fiber(&fake_stack_, caller_low_, caller_bytes_);
#endif
#ifdef LOCKSTEP_CHECK_thread
  __tsan_switch_to_fiber(race_caller_, 1);
#endif
  lockstep_ptx_switch(&stack_pointer_, caller_pointer_);
#ifdef LOCKSTEP_CHECK_address
  __sanitizer_finish_switch_fiber(fake_stack_, &caller_low_, &caller_bytes_);
#endif
}

void Fiber::end() {
#ifdef LOCKSTEP_CHECK_address
  __sanitizer_start_switch_fiber(nullptr, caller_low_, caller_bytes_);
#endif
#ifdef LOCKSTEP_CHECK_thread
  __tsan_switch_to_fiber(race_caller_, 1);
#endif
  lockstep_ptx_switch(&stack_pointer_, caller_pointer_);
  std::abort();
}

void Fiber::enter(Fiber* self) {
#ifdef LOCKSTEP_CHECK_address
  __sanitizer_finish_switch_fiber(nullptr, &self->caller_low_, &self->caller_bytes_);
#endif
  acquire(self);  // what was done before prepare()
  self->entry_(self->argument_);
  self->end();
}

void enter_fiber(Fiber* fiber) { Fiber::enter(fiber); }

}  // namespace lockstep::ptx

extern "C" [[gnu::visibility("hidden"), gnu::used]] void lockstep_ptx_enter(
    lockstep::ptx::Fiber* fiber) {
  lockstep::ptx::enter_fiber(fiber);
}
