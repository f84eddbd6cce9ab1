#include "lockstep/train/signals.h"

#include <fmt/format.h>

#include <atomic>
#include <csignal>
#include <cstring>

namespace lockstep::train {
namespace {

// Lock-free, and so allowed in a signal handler and readable from any thread.
std::atomic<int> first_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void note(int signal) {
  int none = 0;
  first_signal.compare_exchange_strong(none, signal);
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action = {};
  action.sa_handler = note;
  sigemptyset(&action.sa_mask);
  for (int signal : {SIGUSR1, SIGUSR2, SIGTERM}) {
    action.sa_flags = SA_RESTART;
    sigaction(signal, &action, nullptr);
  }
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);  // a second one does its default
  sigaction(SIGINT, &action, nullptr);
}

bool stop_requested() { return first_signal.load(std::memory_order_relaxed) != 0; }
int stop_signal() { return first_signal.load(std::memory_order_relaxed); }

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? name : fmt::format("signal {}", signal);
}

void forget_stop_request() { first_signal = 0; }

}  // namespace lockstep::train
