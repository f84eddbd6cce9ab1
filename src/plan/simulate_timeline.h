// What kept ranks did in one played step, as the rings of events that a run leaves.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lockstep/core/event_file.h"
#include "lockstep/plan/job.h"
#include "plan/simulate_schedule.h"

namespace lockstep::plan {

class Timeline {
 public:
  Timeline(const Job& job, std::vector<std::int64_t> kept) : job_(job) {
    for (const std::int64_t rank : kept) rows_[rank];
  }
  enum class Track : std::uint8_t { kCompute, kMessages };
  // A rank's ops that lie in [from, to) of its schedule, between `begin` and `end`.
  void compute(std::int64_t rank, const Schedule& schedule, double from, double to, double begin,
               double end);
  void add(std::int64_t rank, Track track, events::Kind kind, const char* what, double begin,
           double end, int number = -1, double bytes = 0);
  // Times count from `origin`.
  std::vector<events::Ring> rings(std::int64_t ranks, std::int64_t step, double origin,
                                  const std::vector<std::string>& hosts) const;

 private:
  struct Row {
    Track track;
    events::Kind kind;
    std::string what;
    double begin, end;
    int number;
    double bytes;
  };
  const Job& job_;
  std::map<std::int64_t, std::vector<Row>> rows_;
};

}  // namespace lockstep::plan
