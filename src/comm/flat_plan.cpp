#include "flat_plan.h"

#include <algorithm>

#include "flat_memory.h"
#include "fold_plan.h"
#include "lockstep/core/error.h"
#include "lockstep/core/parameter_table.h"

namespace lockstep::comm {
namespace {

constexpr std::int64_t kAligned = 16;  // elements: 64 bytes

std::int64_t aligned(std::int64_t elements) {
  return (elements + kAligned - 1) / kAligned * kAligned;
}

std::size_t bytes_of(std::int64_t elements) {
  return round_up(static_cast<std::size_t>(elements) * sizeof(float), kPage);
}

// Nothing but the padding of a parameter lies between the two.
bool close(std::int64_t end, std::int64_t begin) { return end <= begin && begin < end + kGranule; }

}  // namespace

FlatPlan::FlatPlan(const Topology& topology_, const FlatLayout& layout)
    : topology(topology_),
      flat_elements(layout.fold.flat_elements),
      whole(layout.extent == FlatExtent::kWhole),
      shards(layout.fold, topology.ranks()),
      buckets(layout.fold.buckets.size()) {
  const std::vector<Run> runs = find_runs(layout.fold);
  for (const Run& run : runs) plan_bucket(run);
  if (whole) return;
  for (const FlatUse& use : layout.uses) plan_use(runs, use);
}

int FlatPlan::receiver(int node, int owner) const {
  const int begin = topology.node_begin[node], locals = topology.node_begin[node + 1] - begin;
  return begin + (owner - topology.node_begin[topology.node_of[owner]]) % locals;
}

// In order of elements. Padding belongs to the run before it.
std::vector<FlatPlan::Run> FlatPlan::find_runs(const FoldLayout& layout) const {
  std::vector<Run> runs;
  for (int b = 0; b < shards.buckets(); ++b) {
    for (int p = 0; p < topology.ranks(); ++p) {
      const Range range = shards.range(b, p);
      if (range.size() > 0) runs.push_back({range, p, b});
    }
  }
  std::sort(runs.begin(), runs.end(),
            [](const Run& a, const Run& b) { return a.range.begin < b.range.begin; });
  std::int64_t end = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    LOCKSTEP_CHECK(runs[i].range.begin == end, "elements from {} to {} belong to no bucket", end,
                   runs[i].range.begin);
    const std::int64_t next = i + 1 < runs.size() ? runs[i + 1].range.begin : layout.flat_elements;
    if (close(runs[i].range.end, next)) runs[i].range.end = next;
    end = runs[i].range.end;
  }
  LOCKSTEP_CHECK(end == layout.flat_elements, "elements from {} to {} belong to no bucket", end,
                 layout.flat_elements);
  return runs;
}

void FlatPlan::plan_bucket(const Run& run) {
  const int me = topology.position, node = topology.node();
  const bool mine = run.owner == me;
  const bool here = topology.node_of[run.owner] == node;
  const bool received = whole && !here && receiver(node, run.owner) == me;
  if (mine || received) held.push_back(run.range);
  if (here) held_on_node.push_back(run.range);
  if (received) buckets[run.bucket].receives.push_back({run.range, run.owner});
  for (int other = 0; whole && mine && other < topology.nodes(); ++other) {
    if (other != node) buckets[run.bucket].sends.push_back({run.range, receiver(other, run.owner)});
  }
}

// A range goes to the gathering place if another node owns some of it. Ranges that are close in
// flat() stay so in the place, and an owner's elements of several such ranges are one message.
FlatPlan::Gathering FlatPlan::gather(const std::vector<Run>& runs, const FlatUse& use,
                                     int node) const {
  Gathering gathering;
  std::int64_t shift = 0, end = -1;  // of the last gathered range: its place, where it ends in flat
  for (const Range& range : use.ranges) {
    const auto first = std::partition_point(
        runs.begin(), runs.end(), [&](const Run& run) { return run.range.end <= range.begin; });
    const auto last = std::partition_point(
        first, runs.end(), [&](const Run& run) { return run.range.begin < range.end; });
    if (std::all_of(first, last,
                    [&](const Run& run) { return topology.node_of[run.owner] == node; })) {
      gathering.at.push_back(-1);
      continue;
    }
    const bool joined = end >= 0 && close(end, range.begin);
    if (!joined) shift = aligned(gathering.elements) - range.begin;
    for (auto run = first; run != last; ++run) {
      const Range part = overlap(run->range, range);
      FlatMove* const before = gathering.pieces.empty() ? nullptr : &gathering.pieces.back();
      if (joined && before != nullptr && before->peer == run->owner &&
          close(before->range.end, part.begin)) {
        before->range.end = part.end;
      } else {
        gathering.pieces.push_back({part, run->owner, part.begin + shift});
      }
    }
    gathering.at.push_back(range.begin + shift);
    gathering.elements = range.end + shift;
    end = range.end;
  }
  return gathering;
}

void FlatPlan::plan_use(const std::vector<Run>& runs, const FlatUse& use) {
  std::int64_t end = 0;
  for (const Range& range : use.ranges) {
    LOCKSTEP_CHECK(end <= range.begin && range.begin < range.end && range.end <= flat_elements,
                   "a use's ranges are not ascending: [{}, {}) after {}", range.begin, range.end,
                   end);
    end = range.end;
  }
  const int me = topology.position, node = topology.node();
  Use planned;
  for (int other = 0; other < topology.nodes(); ++other) {
    Gathering gathering = gather(runs, use, other);
    for (const FlatMove& piece : gathering.pieces) {
      const bool here = topology.node_of[piece.peer] == other;
      if (other != node) {
        if (piece.peer == me) planned.sends.push_back({piece.range, receiver(other, me)});
      } else if (here) {
        if (piece.peer == me) planned.copies.push_back(piece);
      } else if (receiver(node, piece.peer) == me) {
        planned.receives.push_back(piece);
      }
    }
    if (other != node) continue;
    planned.at = std::move(gathering.at);
    planned.elements = gathering.elements;
  }
  place_elements = std::max(place_elements, planned.elements);
  uses.push_back(std::move(planned));
}

std::size_t FlatPlan::flat_bytes() const { return bytes_of(flat_elements); }
std::size_t FlatPlan::place_bytes() const { return bytes_of(place_elements); }

std::size_t FlatPlan::resident_bytes() const {
  std::size_t bytes = 0;
  for (const ByteRange& range : resident_pages(*this)) bytes += range.end - range.begin;
  return bytes;
}

std::size_t FlatPlan::gathered_bytes() const {
  const ByteRange pages = gathered_pages(*this);
  return pages.end - pages.begin;
}

}  // namespace lockstep::comm
