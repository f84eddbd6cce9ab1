// Ends a run in which a rank waits too long, and says once which ranks are missing, for what and at
// which step. A rank is missing if it neither waits (its beat in the node's shared page stands
// still) nor, on another node, answers a probe. Knows nothing of what is awaited but its name.
#pragma once
#include <mpi.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "wait.h"

namespace lockstep::comm {

inline constexpr std::size_t kActivityBytes = 48;

// A rank's line in the node's shared page. Written by that rank only, but for `reporter` of local
// rank 0. Words are atomic one by one: a torn text could only spoil a message.
struct alignas(64) ControlBlock {
  std::atomic<std::uint64_t> beat;
  std::atomic<std::int64_t> step;
  std::atomic<std::uint64_t> activity[kActivityBytes / 8];
  std::atomic<std::uint64_t> reporter;  // 0: nobody reports yet
};

class Watchdog {
 public:
  struct Setting {
    double limit_seconds = 300;
    MPI_Comm probes = MPI_COMM_NULL;  // a communicator of its own: no other message can match
    int rank = 0;
    std::vector<std::string> hosts;      // by rank
    std::vector<int> local_ranks;        // ranks that share this node's page, this one included
    std::unique_ptr<SharedWindow> page;  // one ControlBlock per local rank; null: messages only
  };
  explicit Watchdog(Setting setting);

  void set_activity(const char* what, std::int64_t step);
  std::int64_t step() const { return mine().step.load(std::memory_order_relaxed); }

  // Called again and again while this rank waits; cheap until something is due.
  void waiting(const Awaited& awaited, double waited_seconds);

 private:
  struct Sighting {  // what a rank last said of itself
    bool answers = false;
    std::int64_t step = -1;
    char activity[kActivityBytes] = "";
  };
  ControlBlock& block(int local) const;
  ControlBlock& mine() const;
  Sighting sight(const ControlBlock& block) const;
  bool is_local(int rank) const;
  bool answer_probes(std::vector<Sighting>* sightings);  // false: a lower rank reports already
  bool claim_report(double waited_seconds);
  void report(const Awaited& awaited, double waited_seconds);
  std::string sentence(const Awaited& awaited, double waited_seconds,
                       const std::vector<Sighting>& sightings) const;

  Setting setting_;
  ControlBlock private_block_{};
  Sighting probe_;  // says nothing; outlives the messages that carry it
  int local_ = 0;
  double next_beat_ = 0;
  double resigned_until_ = 0;
};

}  // namespace lockstep::comm
