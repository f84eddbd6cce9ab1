// What one rank computes in a step when nothing disturbs it: its ops one after the other, and the
// moments at which buckets are complete. Seconds from the step's start; knows no other rank.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "lockstep/plan/job.h"
#include "lockstep/plan/machine.h"

namespace lockstep::plan {

struct OpSpan {
  double begin = 0, end = 0;
  int op = 0;
  std::int32_t lane = 0;  // of the stream, from 0
  bool backward = false;
};

struct Schedule {
  double seconds = 0;         // of computing
  std::vector<double> ready;  // when each tick is complete, ascending, while nothing stalls
  std::vector<double> stall;  // seconds that the ranks wait for parameters before that
  std::vector<OpSpan> spans;
};

struct ScheduleOptions {
  std::int64_t lanes = 1;     // of one stream
  bool rounds = false;        // each turn completes all buckets, else the last lane alone
  std::int64_t together = 1;  // rounds: lanes that go through an op one after the other
  double slower = 1;          // what an op takes, of what it takes alone
  double before = 0;          // seconds before each microbatch: its samples are gathered
  // Rounds: seconds that it takes to bring parameters of so many bytes; null: they are there. Those
  // of an op come while the op before it computes.
  std::function<double(double)> gather;
};
// Ticks: the buckets of a turn, in order; turn after turn.
Schedule make_schedule(const Job& job, const Device& device, std::int64_t busy,
                       const ScheduleOptions& options);

}  // namespace lockstep::plan
