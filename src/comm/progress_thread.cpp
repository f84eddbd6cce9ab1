#include "progress_thread.h"

#include <algorithm>
#include <chrono>
#include <csignal>

#include "lockstep/core/crash.h"
#include "lockstep/core/events.h"
#include "lockstep/core/isa.h"

namespace lockstep::comm {
namespace {

// Between two looks. Linux adds up to 50 us: about 10,000 looks a second, a few percent of a core.
constexpr auto kPause = std::chrono::microseconds(50);
constexpr auto kIdlePause = std::chrono::milliseconds(1);  // while the own thread is inside

bool forced_ = false;

}  // namespace

void force_progress_threads() { forced_ = true; }
bool progress_threads_forced() { return forced_; }

ProgressThread::ProgressThread() {
  door_.lock();
  // Signals are for the own thread.
  sigset_t all, before;
  sigfillset(&all);
  crash::leave_open(all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ProgressThread::~ProgressThread() {
  ends_.store(true);
  if (inside_) door_.unlock();
  thread_.join();
}

void ProgressThread::come_inside() noexcept {
  if (inside_) return;
  watching_.store(false);
  door_.lock();
  inside_ = true;
}

void ProgressThread::enter() {
  come_inside();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ProgressThread::leave() {
  if (!inside_) return;
  inside_ = false;
  watching_.store(true);
  door_.unlock();
}

void ProgressThread::attend(const void* who, std::function<void()> progress) {
  attended_.emplace_back(who, std::move(progress));
}

void ProgressThread::forget(const void* who) noexcept {
  come_inside();
  std::erase_if(attended_, [who](const auto& attended) { return attended.first == who; });
}

void ProgressThread::look() {
  const std::unique_lock lock(door_, std::try_to_lock);
  if (!lock || !watching_.load() || failure_) return;
  try {
    for (const auto& [who, progress] : attended_) progress();
  } catch (...) {
    failure_ = std::current_exception();
  }
}

void ProgressThread::run() {
  set_float_environment();  // it adds
  events::name_thread("messages");
  while (!ends_.load()) {
    const bool watching = watching_.load();
    if (watching) look();
    std::this_thread::sleep_for(watching ? kPause : kIdlePause);
  }
}

}  // namespace lockstep::comm
