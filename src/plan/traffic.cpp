#include "plan/traffic.h"

#include <algorithm>
#include <numeric>

#include "lockstep/comm/node_store.h"
#include "lockstep/core/error.h"

namespace lockstep::plan {
namespace {

using comm::LaneRange;

double rows_of(const LaneRange& lanes, std::int64_t of) {
  return static_cast<double>(comm::canonical_nodes(lanes, of).size());
}

// A deal of `lanes` leaves over all ranks, once.
struct Deal {
  std::int64_t lanes = 0;          // of the rank at hand
  double kept = 0;                 // partial sums that leave it
  double of_node = 0, from_node = 0;  // partial sums of its node's ranks, and what they add up to
  double of_all = 0;               // of all nodes
};

Deal deal_lanes(const comm::Topology& topology, const std::vector<LaneRange>& cut,
                std::int64_t lanes) {
  const auto most = std::max_element(cut.begin(), cut.end(), [](const auto& a, const auto& b) {
    return a.size() < b.size();
  });
  const auto position = static_cast<std::size_t>(most - cut.begin());
  Deal deal{most->size(), rows_of(*most, lanes)};
  const auto range_of = [&](int node) {
    const auto first = static_cast<std::size_t>(topology.node_begin[node]);
    const auto end = static_cast<std::size_t>(topology.node_begin[node + 1]);
    return LaneRange{cut[first].begin, cut[end - 1].end};
  };
  const int here = topology.node_of[position];
  for (int p = topology.node_begin[here]; p < topology.node_begin[here + 1]; ++p)
    deal.of_node += rows_of(cut[static_cast<std::size_t>(p)], lanes);
  deal.from_node = rows_of(range_of(here), lanes);
  for (int node = 0; node < topology.nodes(); ++node) deal.of_all += rows_of(range_of(node), lanes);
  return deal;
}

struct Sizes {
  double ranks, nodes, locals;
  bool several() const { return nodes > 1; }
};

// Rows of leaves that are rounded and travel alone take half.
double row_bytes(const parallel::Options& parallel, const Deal& deal) {
  const bool alone = deal.lanes == 1 && deal.of_node == 1;
  return parallel.leaf == comm::LeafType::kBf16 && alone ? 0.5 : 1;
}

BucketTraffic bucket_of(double bytes, const Sizes& n, const Deal& deal,
                        const parallel::Options& parallel, bool results) {
  BucketTraffic b;
  b.bytes = bytes;
  b.part = (deal.of_node - deal.from_node) * bytes / n.locals;
  b.square = bytes / (n.several() ? n.ranks : n.locals);
  if (!n.several()) return b;
  b.shard = (deal.of_all - 1) * bytes / n.ranks;
  const double others = (n.nodes - 1) / n.nodes;
  b.pieces = {n.nodes - 1, bytes / n.locals * others * deal.from_node * row_bytes(parallel, deal)};
  if (!results) return b;
  b.results = {n.nodes - 1, bytes / n.ranks * (n.nodes - 1)};
  b.square += bytes / n.locals * others;
  return b;
}

void add_merged(Traffic& traffic, const Job& job, const parallel::Options& parallel,
                const Sizes& n, const std::vector<parallel::Bucket>& buckets) {
  const comm::Topology topology =
      topology_of({static_cast<std::int64_t>(n.ranks), static_cast<std::int64_t>(n.locals)});
  const bool local = parallel.kind == parallel::Kind::kLocal;
  const std::int64_t leaves =
      local ? (parallel.replicas > 0 ? parallel.replicas : job.lanes) : job.lanes;
  const auto cut = comm::cut_lanes(leaves, topology.ranks());
  const Deal deal = deal_lanes(topology, cut, leaves);
  const auto flat = static_cast<double>(job.flat_elements) * sizeof(float);
  const std::int64_t of_leaf = job.lanes / leaves;
  traffic.lanes = deal.lanes * of_leaf;
  traffic.merged = flat * (static_cast<double>(deal.lanes) - deal.kept);
  if (local) {
    traffic.every = static_cast<double>(parallel.every);
    traffic.updates = deal.lanes;
    traffic.merged = flat * static_cast<double>(deal.lanes * (of_leaf - 1)) +
                     traffic.merged / traffic.every;
  }
  const bool results = parallel.kind != parallel::Kind::kSharded;
  for (const parallel::Bucket& bucket : buckets)
    traffic.buckets.push_back(bucket_of(static_cast<double>(bucket.range.size()) * sizeof(float), n,
                                        deal, parallel, results));
}

// One lane of each stream of each rank at a time: owners add leaves in the order of lanes.
void add_rounds(Traffic& traffic, const Job& job, const parallel::Options& parallel,
                const Sizes& n, const std::vector<parallel::Bucket>& buckets) {
  const auto ranks = static_cast<std::int64_t>(n.ranks);
  const std::int64_t a_round = ranks * parallel.streams;
  traffic.rounds = (job.lanes + a_round - 1) / a_round;
  const auto lanes = parallel::planned_lanes(
      topology_of({ranks, static_cast<std::int64_t>(n.locals)}), parallel);
  traffic.lanes = *std::max_element(lanes.begin(), lanes.end());
  const std::int64_t leaves = std::min(job.lanes, a_round);
  const auto cut = [&] {
    std::vector<LaneRange> of_round;
    for (std::int64_t p = 0; p < ranks; ++p)
      of_round.push_back({std::min(leaves, p * parallel.streams),
                          std::min(leaves, (p + 1) * parallel.streams)});
    return of_round;
  }();
  Deal deal = deal_lanes(topology_of({ranks, static_cast<std::int64_t>(n.locals)}), cut, job.lanes);
  deal.of_node = n.locals * static_cast<double>(parallel.streams);  // leaves, as they were written
  for (const parallel::Bucket& bucket : buckets) {
    const double bytes = static_cast<double>(bucket.range.size()) * sizeof(float);
    BucketTraffic b = bucket_of(bytes, n, deal, parallel, false);
    const double rows = n.several() ? deal.of_all : static_cast<double>(leaves);
    b.shard = rows * bytes / n.ranks;  // with what earlier rounds have left
    if (!n.several()) b.part = 0;
    b.square = bytes / n.ranks / static_cast<double>(traffic.rounds);
    traffic.buckets.push_back(b);
  }
}

}  // namespace

double Traffic::sent() const {
  double bytes = 0;
  for (const BucketTraffic& b : buckets) bytes += b.pieces.bytes + b.results.bytes;
  const auto turns = static_cast<double>(rounds);
  return (bytes * turns + parameters.bytes + gathered.bytes * 2 * turns + records + values) / every;
}

Traffic traffic_of(const Job& job, const Layout& layout, const parallel::Options& parallel,
                   const std::vector<parallel::Bucket>& buckets) {
  if (!parallel::has_plan(parallel.kind))
    throw UserError(
        "times of parallel.strategy = \"{}\" are not predicted; plan \"replicated\" or "
        "\"sharded\", or measure a short run (--stop-after)",
        name_of(parallel.kind));
  const Sizes n{static_cast<double>(layout.ranks), static_cast<double>(layout.nodes()),
                static_cast<double>(std::min(layout.ranks, layout.ranks_per_node))};
  const bool sharded = parallel.kind == parallel::Kind::kSharded;
  Traffic traffic;
  if (sharded && parallel.stage > 1) {
    add_rounds(traffic, job, parallel, n, buckets);
  } else {
    add_merged(traffic, job, parallel, n, buckets);
  }
  if (!n.several()) return traffic;
  traffic.records = static_cast<double>(job.lanes) * sizeof(parallel::StepRecord);
  if (!sharded) return traffic;
  const auto flat = static_cast<double>(job.flat_elements) * sizeof(float);
  const Messages to_nodes{n.nodes - 1, flat / n.ranks * (n.nodes - 1)};
  constexpr double kBlock = 4096;  // elements of a block
  traffic.values = static_cast<double>(job.flat_elements) / kBlock * sizeof(double);
  if (parallel.stage < 3) {
    traffic.parameters = to_nodes;
    traffic.parameters.count *= static_cast<double>(buckets.size());
  } else {
    traffic.gathered = to_nodes;
  }
  return traffic;
}

}  // namespace lockstep::plan
