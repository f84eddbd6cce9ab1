// A stack of its own that one function runs on, and that can be left and entered again: 12 ns a
// switch on x86-64. Knows nothing of CUDA.
#pragma once
#include <cstddef>

namespace lockstep::ptx {

struct Stack {
  char* low = nullptr;
  std::size_t bytes = 0;
};

// `count` stacks of address space; memory is taken as they are used, and the page below each is
// closed, so that an overflow faults instead of reaching the next.
class Stacks {
 public:
  Stacks() = default;
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  void reserve(std::size_t count);
  // Starts are spread over the cache's sets: all at one place of their page, they would evict each
  // other.
  Stack at(std::size_t i) const;

 private:
  char* memory_ = nullptr;
  std::size_t count_ = 0;
};

class Fiber {
 public:
  using Entry = void (*)(void* argument);

  // entry(argument) will run on `stack` from the first resume on; it must end by calling end().
  void prepare(Entry entry, void* argument);
  bool has_stack() const { return stack_.low != nullptr; }
  void take(Stack stack);
  Stack stack() const { return stack_; }
  void drop();  // after its end, or to abandon it

  void resume();            // from outside: returns when the fiber suspends or ends
  void suspend();           // from inside
  [[noreturn]] void end();  // from inside

 private:
  static void enter(Fiber* self);
  friend void enter_fiber(Fiber* fiber);

  Entry entry_ = nullptr;
  void* argument_ = nullptr;
  Stack stack_;
  void* stack_pointer_ = nullptr;   // where it was left
  void* caller_pointer_ = nullptr;  // where resume() was called
  // The checkers' names for this stack and the caller's.
  void* race_context_ = nullptr;
  void* race_caller_ = nullptr;
  void* fake_stack_ = nullptr;
  void* caller_fake_stack_ = nullptr;
  const void* caller_low_ = nullptr;
  std::size_t caller_bytes_ = 0;
};

}  // namespace lockstep::ptx
