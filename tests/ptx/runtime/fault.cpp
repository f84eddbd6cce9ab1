#include "tests/ptx/runtime/fault.h"

#include <execinfo.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xmmintrin.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/ptx/runtime/call.h"
#include "tests/ptx/runtime/memory.h"
#include "tests/ptx/runtime/planned.h"

namespace lockstep::emulation {
namespace {

constexpr int kExit = 70;
constexpr std::size_t kHandlerStack = 64 << 10;

// Of the work that this thread runs; null outside.
thread_local const Work* running = nullptr;
thread_local sigjmp_buf leave;
thread_local char fault_text[512];

struct sigaction earlier_segv, earlier_bus;

// "byte 12 of allocation 3 (4096 bytes on device 0)", "4 bytes behind the end of allocation 3 ..."
void describe(const void* data, char* text, std::size_t size) {
  const auto at = reinterpret_cast<std::uintptr_t>(data);
  const Allocation* a = allocation_below(data);
  if (a == nullptr) {
    std::snprintf(text, size, "address %p, where nothing is allocated", data);
    return;
  }
  const auto number = static_cast<unsigned long long>(a->number);
  if (a->holds(at))
    std::snprintf(text, size, "byte %zu of allocation %llu (%zu bytes on device %d)",
                  at - a->address, number, a->bytes, a->device);
  else
    std::snprintf(
        text, size,
        "address %p, %zu bytes behind the end of allocation %llu (%zu bytes on device %d)", data,
        at - a->address - a->bytes, number, a->bytes, a->device);
}

[[noreturn]] void end_program(const char* text) {
  const ssize_t written = write(STDERR_FILENO, text, std::strlen(text));
  (void)written;
  void* frames[16];
  const int count = backtrace(frames, 16);
  backtrace_symbols_fd(frames + 2, count > 2 ? count - 2 : 0, STDERR_FILENO);
  _exit(kExit);
}

void on_fault(int signal, siginfo_t* info, void*) {
  char where[256];
  describe(info->si_addr, where, sizeof where);
  if (running != nullptr && running->on_device()) {
    std::snprintf(fault_text, sizeof fault_text, "%s touched %s", running->name.c_str(), where);
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    // The checkers follow the stacks of CUDA threads and do not survive a jump off one.
    char text[600];
    std::snprintf(text, sizeof text, "emulated CUDA: illegal memory access: %s\n", fault_text);
    end_program(text);
#else
    siglongjmp(leave, 1);
#endif
  }
  if (in_device_span(info->si_addr)) {
    char text[512];
    std::snprintf(text, sizeof text,
                  "emulated CUDA: the host touched device memory: %s; copy it with cudaMemcpy "
                  "(or a kernel on a second thread strayed)\n",
                  where);
    end_program(text);
  }
  // Not ours: as if there were no handler, the access is repeated.
  sigaction(signal, signal == SIGSEGV ? &earlier_segv : &earlier_bus, nullptr);
}

// Faults on a full or foreign stack are handled on this one. Never freed: a thread's last act may
// be a fault.
void use_handler_stack() {
  static thread_local bool done = false;
  if (done) return;
  done = true;
  stack_t now{};
  sigaltstack(nullptr, &now);
  if (!(now.ss_flags & SS_DISABLE)) return;
  void* memory =
      mmap(nullptr, kHandlerStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  const stack_t stack{memory, 0, kHandlerStack};
  sigaltstack(&stack, nullptr);
}

bool install() {
  void* frame[1];
  backtrace(frame, 1);  // loads what it needs, which a handler may not
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &action, &earlier_segv);
  sigaction(SIGBUS, &action, &earlier_bus);
  // As with the real runtime, a child of fork() has no devices.
  pthread_atfork(nullptr, nullptr, [] { set_failure(cudaErrorInitializationError); });
  return true;
}

// Says what failed and spoils the process.
void fail(cudaError_t error, const char* text) {
  std::fprintf(stderr, "emulated CUDA: %s\n", text);
  set_failure(error);
}

cudaError_t kind_of(std::string_view text) {
  if (text.find("assert") != text.npos) return cudaErrorAssert;
  if (text.find("misaligned") != text.npos) return cudaErrorMisalignedAddress;
  return cudaErrorLaunchFailure;
}

}  // namespace

void start_up() {
  static const bool installed = install();
  (void)installed;
  use_handler_stack();
}

void run_guarded(const Work& work) {
  use_handler_stack();
  running = &work;
  const unsigned float_environment = _mm_getcsr();  // kernels have their own
  // The handler changes no signal mask (SA_NODEFER), so none is kept: that saves a system call.
  if (sigsetjmp(leave, 0) == 0) {
    try {
      if (fails_now(work.name)) throw std::runtime_error("fails as LOCKSTEP_EMULATION_FAIL asks");
      work.run();
    } catch (const std::exception& error) {
      // A kernel's error names the kernel, the block and the thread.
      const std::string what = error.what();
      fail(kind_of(what), (what.starts_with("kernel ") ? what : work.name + ": " + what).c_str());
    }
  } else {
    _mm_setcsr(float_environment);
    fail(cudaErrorIllegalAddress, fault_text);
  }
  running = nullptr;
}

}  // namespace lockstep::emulation
