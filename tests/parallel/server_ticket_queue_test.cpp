// The queue of tickets alone: seeded random workers, slow ones, and leases that run out.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>

#include "parallel/ticket_queue.h"

namespace lockstep::parallel {
namespace {

TicketQueue::Rules rules(std::int64_t lanes, std::int64_t staleness, double lease, int workers) {
  return {lanes, staleness, lease, comm::cut_lanes(lanes, workers)};
}

// Workers that take a random time for each ticket; updates are applied some time after they are
// complete. Checks after every event that nothing is counted twice and nobody is too far ahead.
void play(std::int64_t lanes, std::int64_t staleness, int workers, std::int64_t steps,
          unsigned seed, double slow) {
  TicketQueue queue(rules(lanes, staleness, 5, workers), steps);
  queue.begin(steps);
  std::mt19937 random(seed);
  std::exponential_distribution<double> takes(1);
  struct Job {
    int worker;
    std::int64_t ticket;
  };
  std::multimap<double, Job> running;
  std::vector<int> accepted(static_cast<std::size_t>(steps * lanes));
  std::vector<std::int64_t> order;
  std::vector<bool> idle(workers, true);
  std::int64_t applied = 0;
  double now = 0;
  const auto wholly_applied = [&] {  // by the definition
    std::vector<bool> in(accepted.size());
    for (std::int64_t i = 0; i < applied * lanes; ++i) in[order[i]] = true;
    std::size_t clear = 0;
    while (clear < in.size() && in[clear]) ++clear;
    return static_cast<std::int64_t>(clear) / lanes;
  };
  for (int event = 0; !queue.complete() || applied < steps; ++event) {
    ASSERT_LT(event, 200000) << "no end";
    for (int w = 0; w < workers; ++w) {
      if (!idle[w]) continue;
      const std::int64_t ticket = queue.hand_out(w, now);
      if (ticket < 0) continue;
      idle[w] = false;
      if (staleness >= 0) {
        ASSERT_LE(ticket / lanes - wholly_applied(), staleness);
      }
      running.emplace(now + takes(random) * (w == 0 ? slow : 1), Job{w, ticket});
    }
    if (!running.empty() && (event % 3 != 0 || applied * lanes + lanes > queue.accepted())) {
      const auto [when, job] = *running.begin();
      running.erase(running.begin());
      now = std::max(now, when);
      idle[job.worker] = true;
      const std::int64_t arrival = queue.accept(job.worker, job.ticket, now);
      if (arrival < 0) {
        ASSERT_EQ(accepted[job.ticket], 1);
      } else {
        ASSERT_EQ(arrival, static_cast<std::int64_t>(order.size()));
        ++accepted[job.ticket];
        order.push_back(job.ticket);
      }
    } else if (queue.accepted() >= (applied + 1) * lanes) {
      queue.applied(++applied);
    } else {
      now += 1;  // until a lease runs out
    }
  }
  for (const int times : accepted) ASSERT_EQ(times, 1);
  EXPECT_EQ(queue.hand_out(0, now + 100), -1);
  if (slow > 100) {
    EXPECT_GT(queue.counts().handed_again, 0);
  }
}

TEST(TicketQueue, accepts_every_ticket_once_whoever_is_slow) {
  for (const std::int64_t staleness : {-1, 0, 1, 3}) {
    for (const int workers : {1, 2, 3, 5}) {
      for (const unsigned seed : {1u, 2u, 3u}) {
        SCOPED_TRACE(fmt::format("staleness {}, {} workers, seed {}", staleness, workers, seed));
        play(8, staleness, workers, 40, seed, 1);
        play(6, staleness, workers, 40, seed, 20);
        if (workers > 1) play(5, staleness, workers, 40, seed, 1000);
      }
    }
  }
}

TEST(TicketQueue, prefers_the_workers_own_lanes_and_then_takes_those_of_others) {
  TicketQueue queue(rules(6, -1, 60, 2), 2);
  queue.begin(2);
  EXPECT_EQ(queue.hand_out(1, 0), 3);
  EXPECT_EQ(queue.hand_out(0, 0), 0);
  EXPECT_EQ(queue.hand_out(0, 0), 1);
  EXPECT_EQ(queue.hand_out(0, 0), 2);
  EXPECT_EQ(queue.hand_out(0, 0), 5);
  EXPECT_EQ(queue.hand_out(0, 0), 4);
  EXPECT_EQ(queue.hand_out(0, 0), 6);  // the next step
}

TEST(TicketQueue, hands_a_ticket_to_another_worker_when_its_lease_has_run_out) {
  TicketQueue queue(rules(2, -1, 10, 2), 1);
  queue.begin(1);
  EXPECT_EQ(queue.hand_out(0, 0), 0);
  EXPECT_EQ(queue.hand_out(1, 0), 1);
  EXPECT_EQ(queue.accept(1, 1, 8), 0);
  EXPECT_EQ(queue.hand_out(1, 9), -1);
  EXPECT_EQ(queue.hand_out(0, 11), -1);  // its own
  EXPECT_EQ(queue.hand_out(1, 11), 0);
  EXPECT_EQ(queue.accept(1, 0, 12), 1);
  EXPECT_EQ(queue.accept(0, 0, 13), -1);
  EXPECT_TRUE(queue.complete());
  EXPECT_EQ(queue.counts().handed_again, 1);
  EXPECT_EQ(queue.counts().refused, 1);
}

TEST(TicketQueue, ends_with_the_step_that_is_being_handed_out_when_it_is_stopped) {
  TicketQueue queue(rules(4, -1, 60, 1), 10);
  queue.begin(10);
  for (int t = 0; t < 5; ++t) EXPECT_EQ(queue.hand_out(0, 0), t);
  queue.stop();
  queue.stop();
  EXPECT_EQ(queue.steps(), 2);
  for (int t = 5; t < 8; ++t) EXPECT_EQ(queue.hand_out(0, 0), t);
  EXPECT_EQ(queue.hand_out(0, 0), -1);
  for (int t = 0; t < 8; ++t) EXPECT_EQ(queue.accept(0, t, 0), t);
  EXPECT_TRUE(queue.complete());
  queue.begin(3);  // at least one step, or a run would never get on
  queue.stop();
  EXPECT_EQ(queue.steps(), 1);
}

}  // namespace
}  // namespace lockstep::parallel
