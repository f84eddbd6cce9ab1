// The communicator of a run of one process: the same verbs, no MPI, nobody to wait for but a device.
#pragma once
#include <thread>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "shared_window.h"
#include "topology.h"
#include "wait.h"

namespace lockstep::comm {

class SelfCommunicator final : public Communicator, public Waiter {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  const Topology& topology() const override { return topology_; }
  void barrier() override {}
  void broadcast(std::span<std::byte>, int) override {}
  std::vector<std::byte> gather_all(std::span<const std::byte> mine) override {
    return {mine.begin(), mine.end()};
  }
  void gather(std::span<const std::byte> mine, int,
              const std::function<void(int, std::span<const std::byte>)>& visit) override {
    visit(0, mine);
  }
  std::int64_t min(std::int64_t value) override { return value; }
  std::int64_t max(std::int64_t value) override { return value; }
  std::unique_ptr<SharedWindow> make_window(std::size_t bytes, const std::string&) override {
    return std::make_unique<PrivateWindow>(bytes);
  }
  std::unique_ptr<Communicator> part(int) override { return std::make_unique<SelfCommunicator>(); }
  void together(const std::function<void()>& body) override { body(); }
  void set_activity(const char* what, std::int64_t step) override {
    events::set_activity(what, step);
  }

  // Only a device can be behind; no such wait takes minutes.
  double wait(const Awaited& awaited, const std::function<bool()>& ready) override {
    constexpr double kPatience = 600;  // seconds
    if (ready()) return 0;
    const events::Span span(events::Kind::kWait, awaited.what,
                            {.step = awaited.step, .number = awaited.number});
    const double start = seconds_now();
    while (!ready()) {
      LOCKSTEP_CHECK(seconds_now() - start < kPatience, "a run of one process waits for {}",
                     awaited.what);
      std::this_thread::yield();
    }
    return seconds_now() - start;
  }

 private:
  Topology topology_ = make_topology({0}, 0);
};

}  // namespace lockstep::comm
