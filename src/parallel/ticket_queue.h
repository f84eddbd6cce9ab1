// The queue of an asynchronous parameter server: tickets, each a lane of a step, handed out in the
// order of steps to whoever asks; each is accepted exactly once, and `lanes` accepted results, in
// the order of their arrival, make an update (n-softsync: Zhang et al. 2016). Knows no messages and
// no clock: it is told the time.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/comm/node_store.h"

namespace lockstep::parallel {

class TicketQueue {
 public:
  struct Rules {
    std::int64_t lanes = 1;
    // A ticket of step s waits until all results of steps before s - staleness are applied; -1:
    // never.
    std::int64_t staleness = -1;
    double lease = 60;                   // seconds
    std::vector<comm::LaneRange> homes;  // worker -> lanes that it would rather have
  };
  struct Counts {
    std::int64_t handed_again = 0;  // tickets whose lease ran out
    std::int64_t refused = 0;       // results that came too late
    std::int64_t furthest = 0;      // steps a ticket was ahead of the last one wholly applied
  };

  // Of at most most_steps steps at a time.
  TicketQueue(Rules rules, std::int64_t most_steps);

  // Tickets [0, steps * lanes): ticket t is lane t % lanes of the step with index t / lanes.
  void begin(std::int64_t steps);
  // The ticket that the worker gets now; -1: none. One whose lease ran out comes first.
  std::int64_t hand_out(int worker, double now);
  // The number of the result among all accepted ones; -1: another's was accepted before, or the
  // queue has failed. The worker's other leases begin anew.
  std::int64_t accept(int worker, std::int64_t ticket, double now);
  void applied(std::int64_t updates) { applied_ = updates; }  // in all, since begin()
  void stop();                     // no step is begun that has not been, but for the first
  void fail() { failed_ = true; }  // nothing more is handed out or accepted
  bool complete() const { return accepted_ == steps_ * rules_.lanes; }
  std::int64_t steps() const { return steps_; }
  std::int64_t accepted() const { return accepted_; }
  const Counts& counts() const { return counts_; }

 private:
  struct Lease {
    std::int64_t ticket = 0;
    int worker = 0;
    double since = 0;
  };
  std::int64_t hand_out_again(int worker, double now);
  std::int64_t wholly_applied();  // steps

  const Rules rules_;
  std::vector<std::int64_t> arrival_;  // by ticket; -1: not accepted
  std::vector<Lease> leases_;          // of tickets handed out and not accepted
  std::vector<bool> handed_;           // lanes of the step that is open
  std::int64_t steps_ = 0, open_step_ = 0, open_left_ = 0;
  std::int64_t accepted_ = 0, applied_ = 0, clear_ = 0;  // clear_: tickets before it are applied
  bool failed_ = false;
  Counts counts_;
};

}  // namespace lockstep::parallel
