#include "lockstep/core/crash.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>

#include "lockstep/core/event_file.h"
#include "lockstep/core/events.h"

namespace lockstep::crash {
namespace {

struct Fatal {
  int signal;
  const char* name;
};
constexpr std::array<Fatal, 4> kFatal{
    {{SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"}, {SIGABRT, "SIGABRT"}}};

char who_[256] = "";
struct sigaction before_[kFatal.size()];
std::atomic<bool> said_{false};
// A stack that has overflowed cannot carry a handler.
alignas(16) std::byte stack_[64 << 10];

// Text without memory or locks.
class Sentence {
 public:
  Sentence& operator<<(const char* text) {
    while (*text != '\0' && at_ < sizeof text_) text_[at_++] = *text++;
    return *this;
  }
  Sentence& operator<<(long long number) {
    char digits[24];
    int n = 0;
    do digits[n++] = static_cast<char>('0' + number % 10);
    while ((number /= 10) > 0);
    while (n > 0 && at_ < sizeof text_) text_[at_++] = digits[--n];
    return *this;
  }
  void write() const {
    if (::write(STDERR_FILENO, text_, at_) < 0) return;  // nothing can be done about it
  }

 private:
  char text_[6000];
  std::size_t at_ = 0;
};

void say(const char* signal) {
  const events::Last last = events::crashed(signal);
  Sentence s;
  s << "lockstep: " << who_ << " crashed (" << signal << ")";
  const char* const what = *last.what != '\0' ? last.what : last.activity;
  if (*what != '\0') s << " in " << what;
  if (last.step >= 0) s << " at step " << last.step;
  if (*events::folder() != '\0') s << "; its last events: lockstep trace " << events::folder();
  s << "\n";
  s.write();
}

// What was there before (the default, or a library's trace of the stack) has the last word.
void handle(int signal, siginfo_t* info, void*) {
  for (std::size_t i = 0; i < kFatal.size(); ++i) {
    if (kFatal[i].signal != signal) continue;
    if (!said_.exchange(true)) say(kFatal[i].name);
    ::sigaction(signal, &before_[i], nullptr);
  }
  // The kernel's own come again when the instruction is tried again.
  if (info->si_code <= 0 || signal == SIGABRT) ::raise(signal);
}

}  // namespace

void install(const std::string& who) {
  std::strncpy(who_, who.c_str(), sizeof who_ - 1);
  for (const Fatal& fatal : kFatal) events::intern(fatal.name);
  stack_t stack{};
  stack.ss_sp = stack_;
  stack.ss_size = sizeof stack_;
  ::sigaltstack(&stack, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < kFatal.size(); ++i)
    ::sigaction(kFatal[i].signal, &action, &before_[i]);
}

void leave_open(sigset_t& blocked) {
  for (const Fatal& fatal : kFatal) sigdelset(&blocked, fatal.signal);
}

}  // namespace lockstep::crash
