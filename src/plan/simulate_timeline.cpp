#include "plan/simulate_timeline.h"

#include <algorithm>
#include <cmath>

namespace lockstep::plan {
namespace {

std::uint64_t nanoseconds(double seconds) {
  return static_cast<std::uint64_t>(std::llround(std::max(0.0, seconds) * 1e9));
}

}  // namespace

void Timeline::compute(std::int64_t rank, const Schedule& schedule, double from, double to,
                       double begin, double end) {
  const auto row = rows_.find(rank);
  if (row == rows_.end() || to <= from) return;
  const double scale = (end - begin) / (to - from);
  auto span = std::partition_point(schedule.spans.begin(), schedule.spans.end(),
                                   [&](const OpSpan& s) { return s.end <= from; });
  for (; span != schedule.spans.end() && span->begin < to; ++span) {
    const JobOp& op = job_.ops[span->op];
    row->second.push_back(
        {Track::kCompute, span->backward ? events::Kind::kBackward : events::Kind::kForward,
         op.layer + " (" + op.kind + ")", begin + scale * (std::max(span->begin, from) - from),
         begin + scale * (std::min(span->end, to) - from), span->lane, 0});
  }
}

void Timeline::add(std::int64_t rank, Track track, events::Kind kind, const char* what,
                   double begin, double end, int number, double bytes) {
  const auto row = rows_.find(rank);
  if (row == rows_.end() || end <= begin) return;
  row->second.push_back({track, kind, what, begin, end, number, bytes});
}

std::vector<events::Ring> Timeline::rings(std::int64_t ranks, std::int64_t step, double origin,
                                          const std::vector<std::string>& hosts) const {
  std::vector<events::Ring> rings;
  for (const auto& [rank, rows] : rows_) {
    events::Ring ring;
    ring.rank = static_cast<int>(rank);
    ring.ranks = static_cast<int>(ranks);
    ring.process = rank + 1;
    ring.host = hosts[rank];
    ring.step = step;
    ring.activity = "simulated";
    ring.names.emplace_back();  // 0: none
    ring.threads.resize(2);
    ring.threads[0].name = "compute";
    ring.threads[1].name = "messages";
    std::map<std::string, std::uint16_t> names;
    for (const Row& row : rows) {
      const auto [name, added] =
          names.emplace(row.what, static_cast<std::uint16_t>(ring.names.size()));
      if (added) ring.names.push_back(row.what);
      auto& done = ring.threads[row.track == Track::kCompute ? 0 : 1].done;
      events::Record record;
      record.begin = nanoseconds(row.begin - origin);
      record.end = std::max(record.begin + 1, nanoseconds(row.end - origin));
      record.step = step;
      record.bytes = static_cast<std::uint64_t>(row.bytes);
      record.sequence = done.size() + 1;
      record.number = row.number;
      record.kind = static_cast<std::uint16_t>(row.kind);
      record.name = name->second;
      record.check = record.checked();
      ring.alive = std::max(ring.alive, record.end);
      done.push_back(record);
    }
    if (ring.threads[1].done.empty()) ring.threads.pop_back();
    rings.push_back(std::move(ring));
  }
  return rings;
}

}  // namespace lockstep::plan
