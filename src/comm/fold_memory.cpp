#include "fold_memory.h"

#include <algorithm>

#include "pages.h"

namespace lockstep::comm {

Range overlap(const Range& a, const Range& b) {
  const std::int64_t begin = std::max(a.begin, b.begin), end = std::min(a.end, b.end);
  return begin < end ? Range{begin, end} : Range{};
}

FoldPlan::FoldPlan(const Topology& topology_, const FoldLayout& layout_)
    : topology(topology_),
      layout(layout_),
      lanes(cut_lanes(layout.lanes, topology.ranks())),
      blocks(find_blocks(layout)) {
  std::vector<Node> all_canonical;
  for (int node = 0; node < topology.nodes(); ++node) {
    const int first = topology.node_begin[node], last = topology.node_begin[node + 1];
    const auto nodes = canonical_nodes({lanes[first].begin, lanes[last - 1].end}, layout.lanes);
    canonical_.push_back(static_cast<int>(nodes.size()));
    all_canonical.insert(all_canonical.end(), nodes.begin(), nodes.end());
    auto& cuts = parts_.emplace_back();
    for (const BucketBlocks& b : blocks) cuts.push_back(cut_blocks(layout, b, last - first));
  }
  for (const BucketBlocks& b : blocks) shards_.push_back(cut_blocks(layout, b, topology.ranks()));
  std::vector<Node> remaining;
  for (int l = 0; l < topology.local_ranks(); ++l) {
    stores.push_back(make_stores(layout, lanes[topology.node_begin[topology.node()] + l]));
    for (const auto& [node, slot] : stores.back().remaining) remaining.push_back(node);
  }
  local_program = make_program(remaining, layout.lanes);
  owner_program = make_program(all_canonical, layout.lanes);
  for (int l = 0; l < topology.local_ranks(); ++l) windows.push_back(window_of(l));

  for (int node = 0; node < topology.nodes(); ++node) {
    if (node == topology.node()) continue;
    for (int b = 0; b < buckets(); ++b) {
      inbox_elements += canonical_[node] * shard(b, topology.position).size();
    }
  }
  std::int64_t tile = 0;
  for (const Range& block : layout.blocks) tile = std::max(tile, block.size());
  tile = static_cast<std::int64_t>(round_up(static_cast<std::size_t>(tile), 64));
  tile_bytes =
      static_cast<std::size_t>(std::max(local_program.scratch, owner_program.scratch) * tile) *
      sizeof(float);
  scratch_bytes = static_cast<std::size_t>(stores[topology.local()].streams_with_scratch() *
                                           scratch_buckets() * largest_bucket()) *
                  sizeof(float);
  record_bytes = several_nodes() ? static_cast<std::size_t>(layout.lanes) * layout.record_bytes : 0;
}

std::int64_t FoldPlan::largest_bucket() const {
  std::int64_t largest = 0;
  for (const Range& bucket : layout.buckets) largest = std::max(largest, bucket.size());
  return static_cast<std::int64_t>(round_up(static_cast<std::size_t>(largest), 64));
}

int FoldPlan::scratch_buckets() const { return std::min(layout.open_buckets, buckets()); }

Range FoldPlan::part(int node, int b, int local) const {
  const auto& cut = parts_[node][b];
  return elements_of(layout, b, blocks[b], cut[local], cut[local + 1]);
}

Range FoldPlan::shard(int b, int position) const {
  const auto& cut = shards_[b];
  return elements_of(layout, b, blocks[b], cut[position], cut[position + 1]);
}

std::int64_t FoldPlan::outbox_of(int local) const {
  std::int64_t elements = 0;
  for (int b = 0; b < buckets(); ++b) {
    elements += canonical_[topology.node()] * part(topology.node(), b, local).size();
  }
  return elements;
}

WindowLayout FoldPlan::window_of(int local) const {
  WindowLayout w;
  const auto place = [&w](std::size_t bytes, std::size_t alignment) {
    const std::size_t at = round_up(w.bytes, alignment);
    w.bytes = at + bytes;
    return at;
  };
  const std::size_t flags = layout.buckets.size() * sizeof(Flag);
  w.ready = place(flags, 64);
  w.folded = place(flags, 64);
  w.done = place(flags, 64);
  w.released = place(sizeof(Flag), 64);
  w.recorded = place(sizeof(Flag), 64);
  w.record_set =
      round_up(static_cast<std::size_t>(stores[local].lanes.size()) * layout.record_bytes, 64);
  w.records = place(2 * w.record_set, 64);
  w.block_values = place(layout.blocks.size() * sizeof(double), 64);
  w.slot_bytes = round_up(static_cast<std::size_t>(layout.flat_elements) * sizeof(float), kPage);
  w.slots = place(stores[local].slots * w.slot_bytes, kPage);
  const std::size_t outbox =
      several_nodes() ? static_cast<std::size_t>(outbox_of(local)) * sizeof(float) : 0;
  w.outbox = place(outbox, kPage);
  w.bytes = round_up(w.bytes, kPage);
  return w;
}

std::size_t FoldPlan::private_bytes() const {
  return round_up(tile_bytes, kPage) + round_up(scratch_bytes, kPage) +
         round_up(record_bytes, kPage) +
         round_up(static_cast<std::size_t>(inbox_elements) * sizeof(float), kPage);
}

}  // namespace lockstep::comm
