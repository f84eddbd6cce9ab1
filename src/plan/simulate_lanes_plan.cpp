#include "plan/simulate_lanes_plan.h"

#include <algorithm>
#include <cmath>

namespace lockstep::plan {
namespace {

constexpr double kBlockElements = 4096;

// cut_lanes() looks at all cuts; where the lanes divide evenly there is one.
std::vector<comm::LaneRange> cut_of(std::int64_t lanes, std::int64_t ranks) {
  if (lanes % ranks != 0) return comm::cut_lanes(lanes, static_cast<int>(ranks));
  std::vector<comm::LaneRange> cut;
  const std::int64_t each = lanes / ranks;
  for (std::int64_t rank = 0; rank < ranks; ++rank) cut.push_back({rank * each, (rank + 1) * each});
  return cut;
}

}  // namespace

LanesPlan::LanesPlan(const Job& job, const Layout& layout_, std::int64_t played_ranks)
    : layout(layout_),
      ranks(played_ranks),
      several(layout_.nodes() > 1),
      buckets(static_cast<std::int64_t>(job.buckets.size())),
      streams(std::max<std::int64_t>(1, job.threads)),
      lanes(job.lanes),
      leaf_is_narrow_(job.parallel.leaf == comm::LeafType::kBf16) {
  nodes = (ranks + layout.ranks_per_node - 1) / layout.ranks_per_node;
  const bool sharded = job.parallel.kind == parallel::Kind::kSharded;
  rounds = sharded && job.parallel.stage >= 2;
  comes_back = !sharded;
  if (rounds && job.parallel.stage == 3)
    together = streams = std::max<std::int64_t>(1, job.parallel.lane_group);
  if (rounds) {
    const std::int64_t workers = layout.ranks * streams;
    turns = (lanes + workers - 1) / workers;
  } else {
    cut_ = cut_of(lanes, layout.ranks);
  }
  for (const parallel::Bucket& bucket : job.buckets)
    bucket_bytes.push_back(sizeof(float) * static_cast<double>(bucket.range.size()));
  for (std::int64_t turn = 0; turn < turns; ++turn) {
    auto& by_node = node_rows_.emplace_back();
    double rows = 0, bytes = 0;
    for (std::int64_t node = 0; node < layout.nodes(); ++node) {
      const NodeRows of_node = rows_of(lanes_in(turn, node));
      rows += of_node.rows;
      bytes += of_node.bytes;
      if (node < nodes) by_node.push_back(of_node);
    }
    all_rows_.push_back(rows);
    all_bytes_.push_back(bytes);
  }
}

std::int64_t LanesPlan::locals(std::int64_t node) const {
  return std::min(layout.ranks_per_node, layout.ranks - node * layout.ranks_per_node);
}

std::vector<comm::LaneRange> LanesPlan::lanes_in(std::int64_t turn, std::int64_t node) const {
  std::vector<comm::LaneRange> found;
  const std::int64_t first = node * layout.ranks_per_node;
  for (std::int64_t rank = first; rank < first + locals(node); ++rank) {
    if (!rounds) {
      found.push_back(cut_[rank]);
      continue;
    }
    const auto lane = [&](std::int64_t position) {
      return std::min(lanes, (turn * layout.ranks + position) * streams);
    };
    found.push_back({lane(rank), lane(rank + 1)});
  }
  return found;
}

LanesPlan::NodeRows LanesPlan::rows_of(const std::vector<comm::LaneRange>& by_rank) const {
  NodeRows found;
  for (const comm::LaneRange& range : by_rank) {
    if (range.size() == 0) continue;
    const auto busy = static_cast<int>(std::min(streams, range.size()));
    for (const comm::LaneRange& stream : comm::cut_lanes(range, busy, lanes))
      found.sources += rounds ? static_cast<double>(stream.size())
                              : static_cast<double>(comm::canonical_nodes(stream, lanes).size());
  }
  found.own = found.sources / static_cast<double>(by_rank.size());
  const comm::LaneRange all{by_rank.front().begin, by_rank.back().end};
  if (all.size() == 0) return found;
  for (const comm::Node& node : comm::canonical_nodes(all, lanes)) {
    const bool narrow = leaf_is_narrow_ && node.end(lanes) - node.begin() == 1;
    found.rows += 1;
    found.bytes += narrow ? 0.5 : 1;
  }
  return found;
}

// Shards end on blocks, so that of a small bucket some ranks own nothing.
std::int64_t LanesPlan::owners(std::int64_t bucket) const {
  const auto blocks =
      static_cast<std::int64_t>(std::ceil(bucket_bytes[bucket] / (sizeof(float) * kBlockElements)));
  return std::clamp<std::int64_t>(blocks, 1, layout.ranks);
}

LanesPlan::Part LanesPlan::part(std::int64_t node, std::int64_t tick) const {
  const std::int64_t bucket = bucket_of(tick), turn = turn_of(tick);
  const NodeRows& rows = node_rows_[turn][node];
  const double size = bucket_bytes[bucket] / static_cast<double>(locals(node));
  Part part;
  part.size = size;
  const double outs = several ? rows.rows : 1;
  part.added = std::max(0.0, rows.sources - outs + (!several && turn > 0 ? 1 : 0)) * size;
  part.read = std::max(0.0, rows.sources - rows.own) * size;
  if (!several) return part;
  const double others =
      static_cast<double>(layout.nodes() - 1) / static_cast<double>(layout.nodes());
  part.messages = std::max(1.0, std::round(static_cast<double>(owners(bucket)) /
                                           static_cast<double>(locals(node)) * others));
  part.bytes = rows.bytes * size * others;
  return part;
}

bool LanesPlan::owns(std::int64_t rank, std::int64_t tick) const {
  const std::int64_t count = owners(bucket_of(tick));
  // Of nodes that stand for all, the last rank is one that owns.
  if (ranks < layout.ranks && count < layout.ranks) return rank + 1 == ranks;
  return (rank + 1) * count / layout.ranks > rank * count / layout.ranks;
}

LanesPlan::Shard LanesPlan::shard(std::int64_t tick) const {
  const std::int64_t bucket = bucket_of(tick), turn = turn_of(tick);
  const double size = bucket_bytes[bucket] / static_cast<double>(owners(bucket));
  const auto others = static_cast<double>(layout.nodes() - 1);
  Shard shard;
  shard.size = size;
  shard.added = (all_rows_[turn] - 1 + (turn > 0 ? 1 : 0)) * size;
  shard.messages_in = others;
  shard.bytes_in = all_bytes_[turn] * size * others / (others + 1);
  if (!comes_back) return shard;
  shard.messages_out = others;
  shard.bytes_out = size * others;
  return shard;
}

LanesPlan::Span LanesPlan::parts_of(std::int64_t rank, std::int64_t tick,
                                    std::int64_t locals) const {
  if (!owns(rank, tick)) return {};
  if (ranks < layout.ranks) return {0, locals - 1};
  const std::int64_t count = owners(bucket_of(tick));
  const std::int64_t shard = (rank + 1) * count / layout.ranks - 1;
  return {shard * locals / count, ((shard + 1) * locals + count - 1) / count - 1};
}

LanesPlan::Return LanesPlan::returned(std::int64_t node, std::int64_t tick) const {
  const std::int64_t bucket = bucket_of(tick);
  const double others =
      static_cast<double>(layout.nodes() - 1) / static_cast<double>(layout.nodes());
  const auto parts = static_cast<double>(locals(node));
  return {std::max(1.0, std::round(static_cast<double>(owners(bucket)) / parts * others)),
          bucket_bytes[bucket] / parts * others};
}

std::int64_t LanesPlan::stream_lanes(std::int64_t rank) const {
  if (rounds) {
    std::int64_t mine = 0;
    for (std::int64_t turn = 0; turn < turns; ++turn) {
      const std::int64_t first = std::min(lanes, (turn * layout.ranks + rank) * streams);
      const std::int64_t here = std::min(lanes, first + streams) - first;
      mine += together > 1 ? here : std::min<std::int64_t>(here, 1);
    }
    return mine;
  }
  return (cut_[rank].size() + streams - 1) / streams;
}

double LanesPlan::merged_lanes(std::int64_t rank) const {
  if (rounds || cut_[rank].size() == 0) return 0;
  const auto busy = static_cast<int>(std::min(streams, cut_[rank].size()));
  double merged = 0;  // streams merge at the same time
  for (const comm::LaneRange& stream : comm::cut_lanes(cut_[rank], busy, lanes))
    merged = std::max(merged, static_cast<double>(stream.size()) -
                                  static_cast<double>(comm::canonical_nodes(stream, lanes).size()));
  return merged;
}

}  // namespace lockstep::plan
