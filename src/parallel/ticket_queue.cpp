#include "parallel/ticket_queue.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep::parallel {

TicketQueue::TicketQueue(Rules rules, std::int64_t most_steps)
    : rules_(std::move(rules)),
      arrival_(static_cast<std::size_t>(most_steps * rules_.lanes)),
      handed_(static_cast<std::size_t>(rules_.lanes)) {
  leases_.reserve(arrival_.size());
}

void TicketQueue::begin(std::int64_t steps) {
  LOCKSTEP_CHECK(leases_.empty() || failed_, "{} tickets are still out", leases_.size());
  LOCKSTEP_CHECK(steps * rules_.lanes <= static_cast<std::int64_t>(arrival_.size()), "{} steps",
                 steps);
  std::fill(arrival_.begin(), arrival_.end(), -1);
  std::fill(handed_.begin(), handed_.end(), false);
  steps_ = steps;
  open_step_ = 0;
  open_left_ = rules_.lanes;
  accepted_ = applied_ = clear_ = 0;
}

std::int64_t TicketQueue::wholly_applied() {
  const std::int64_t tickets = steps_ * rules_.lanes;
  while (clear_ < tickets && arrival_[clear_] >= 0 && arrival_[clear_] / rules_.lanes < applied_)
    ++clear_;
  return clear_ / rules_.lanes;
}

std::int64_t TicketQueue::hand_out_again(int worker, double now) {
  Lease* oldest = nullptr;
  for (Lease& lease : leases_) {
    if (lease.worker == worker || now - lease.since <= rules_.lease) continue;
    if (oldest == nullptr || lease.ticket < oldest->ticket) oldest = &lease;
  }
  if (oldest == nullptr) return -1;
  oldest->worker = worker;
  oldest->since = now;
  ++counts_.handed_again;
  return oldest->ticket;
}

std::int64_t TicketQueue::hand_out(int worker, double now) {
  if (failed_) return -1;
  if (const std::int64_t again = hand_out_again(worker, now); again >= 0) return again;
  if (open_left_ == 0 && open_step_ + 1 < steps_) {
    ++open_step_;
    open_left_ = rules_.lanes;
    std::fill(handed_.begin(), handed_.end(), false);
  }
  if (open_left_ == 0 || open_step_ >= steps_) return -1;
  const std::int64_t ahead = open_step_ - wholly_applied();
  if (rules_.staleness >= 0 && ahead > rules_.staleness) return -1;
  const comm::LaneRange& home = rules_.homes[worker];
  std::int64_t lane = -1;
  for (std::int64_t l = home.begin; l < home.end && lane < 0; ++l) {
    if (!handed_[l]) lane = l;
  }
  // From the end: the lanes that their own workers come to last.
  for (std::int64_t l = rules_.lanes - 1; l >= 0 && lane < 0; --l) {
    if (!handed_[l]) lane = l;
  }
  handed_[lane] = true;
  --open_left_;
  counts_.furthest = std::max(counts_.furthest, ahead);
  const std::int64_t ticket = open_step_ * rules_.lanes + lane;
  leases_.push_back({ticket, worker, now});
  return ticket;
}

std::int64_t TicketQueue::accept(int worker, std::int64_t ticket, double now) {
  LOCKSTEP_CHECK(0 <= ticket && ticket < steps_ * rules_.lanes, "ticket {} of {}", ticket,
                 steps_ * rules_.lanes);
  for (Lease& lease : leases_) {
    if (lease.worker == worker) lease.since = now;
  }
  if (failed_ || arrival_[ticket] >= 0) {
    ++counts_.refused;
    return -1;
  }
  const auto lease = std::find_if(leases_.begin(), leases_.end(),
                                  [ticket](const Lease& l) { return l.ticket == ticket; });
  LOCKSTEP_CHECK(lease != leases_.end(), "ticket {} was never handed out", ticket);
  *lease = leases_.back();
  leases_.pop_back();
  return arrival_[ticket] = accepted_++;
}

void TicketQueue::stop() {
  const bool begun = open_left_ < rules_.lanes || open_step_ == 0;
  steps_ = std::min(steps_, open_step_ + (begun ? 1 : 0));
}

}  // namespace lockstep::parallel
