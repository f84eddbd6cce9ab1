#include "fold_memory.h"

#include <algorithm>
#include <bit>

#include "lockstep/core/error.h"
#include "lockstep/device/tree_arithmetic.h"
#include "pages.h"
#include "step_program.h"

namespace lockstep::comm {
namespace {

// As many canonical nodes as `most` lanes of a node can have: the first node's begin with the first
// lane, the last one's end with the last.
int most_rows(int node, int nodes, std::int64_t most, std::int64_t lanes) {
  if (node > 0 && node + 1 < nodes) return most_canonical(most);
  std::size_t rows = 0;
  for (std::int64_t size = 1; size <= most; ++size) {
    const LaneRange range = node == 0 ? LaneRange{0, size} : LaneRange{lanes - size, lanes};
    rows = std::max(rows, canonical_nodes(range, lanes).size());
  }
  return static_cast<int>(rows);
}

}  // namespace

Range overlap(const Range& a, const Range& b) {
  const std::int64_t begin = std::max(a.begin, b.begin), end = std::min(a.end, b.end);
  return begin < end ? Range{begin, end} : Range{};
}

FoldPlan::FoldPlan(const Topology& topology_, const FoldLayout& layout_, SumsIn where_,
                   const std::vector<LaneRange>& cut)
    : topology(topology_),
      layout(layout_),
      lanes(cut.empty() ? cut_lanes(layout.lanes, topology.ranks()) : cut),
      blocks(find_blocks(layout)),
      where(where_) {
  // Messages of a device's memory carry what lies there.
  const LeafType carried = where == SumsIn::kDevice ? LeafType::kFp32 : layout.leaf;
  for (int node = 0; node < topology.nodes(); ++node) {
    const int first = topology.node_begin[node], last = topology.node_begin[node + 1];
    const auto nodes = canonical_nodes({lanes[first].begin, lanes[last - 1].end}, layout.lanes);
    rows_.emplace_back(nodes, layout.lanes, carried);
    owner_nodes.insert(owner_nodes.end(), nodes.begin(), nodes.end());
    auto& cuts = parts_.emplace_back();
    for (const BucketBlocks& b : blocks) cuts.push_back(cut_blocks(layout, b, last - first));
  }
  for (const BucketBlocks& b : blocks) shards_.push_back(cut_blocks(layout, b, topology.ranks()));
  for (int l = 0; l < topology.local_ranks(); ++l) {
    stores.push_back(make_stores(layout, lanes[topology.node_begin[topology.node()] + l]));
    for (const auto& [node, slot] : stores.back().remaining) local_nodes.push_back(node);
  }
  if (layout.dealing == Dealing::kMeasured && several_nodes() && !layout.buckets.empty() &&
      layout.lanes > topology.ranks())
    limits = deal_limits(topology, layout.lanes);
  for (int node = 0; node < static_cast<int>(limits.node.size()); ++node) {
    most_rows_.push_back(most_rows(node, topology.nodes(), limits.node[node], layout.lanes));
    LOCKSTEP_CHECK(canonical(node) <= most_rows_[node], "node {} sends {} rows, planned were {}",
                   node, canonical(node), most_rows_[node]);
  }
  if (layout.dealing != Dealing::kFixed) plan_moves();
  local_program = moving() ? StepProgram(node_lanes(), layout.lanes).program()
                           : make_program(local_nodes, layout.lanes);
  owner_program = make_program(owner_nodes, layout.lanes);
  for (int l = 0; l < topology.local_ranks(); ++l) {
    windows.push_back(window_of(l));
    devices.push_back(on_device() ? device_of(l) : DeviceLayout{});
  }

  for (int node = 0; node < topology.nodes(); ++node) {
    if (node == topology.node()) continue;
    for (int b = 0; b < buckets(); ++b) {
      inbox_floats += rows_floats(node, shard(b, topology.position).size());
    }
  }
  plan_tiles();
  record_bytes = several_nodes() ? static_cast<std::size_t>(layout.lanes) * record_stride() : 0;
  if (values_travel()) {
    values = OwnedValues(Shards(layout, topology.ranks()));
    value_bytes = layout.blocks.size() * sizeof(double);
  }
  if (on_device()) return;
  scratch_bytes = static_cast<std::size_t>(stores[topology.local()].streams_with_scratch() *
                                           scratch_buckets() * largest_bucket()) *
                  sizeof(float);
}

void FoldPlan::plan_tiles() {
  std::int64_t tile = 0;
  for (const Range& block : layout.blocks) tile = std::max(tile, block.size());
  tile = static_cast<std::int64_t>(round_up(static_cast<std::size_t>(tile), 64));
  int narrow_rows = 0;  // unpacked to a tile each
  for (const PieceRows& rows : rows_) narrow_rows += several_nodes() ? rows.narrow_rows() : 0;
  int local_tiles = local_program.scratch, owner_tiles = owner_program.scratch + narrow_rows;
  if (deals_between_nodes()) {  // of any cut: a sum waits at each level of the tree at most
    local_tiles = most_canonical(limits.node[topology.node()]);
    owner_tiles = std::bit_width(static_cast<std::uint64_t>(layout.lanes));
    for (const int rows : most_rows_) owner_tiles += rows;
    LOCKSTEP_CHECK(
        local_tiles >= local_program.scratch && owner_tiles >= owner_program.scratch + narrow_rows,
        "a cut needs more tiles than were planned");
  }
  const int tiles = where == SumsIn::kHost     ? std::max(local_tiles, owner_tiles)
                    : where == SumsIn::kStaged ? owner_tiles
                                               : 0;
  tile_bytes = static_cast<std::size_t>(tiles * tile) * sizeof(float);
}

// Where lanes are dealt between nodes, as many as any cut may have.
std::int64_t FoldPlan::rows_floats(int node, std::int64_t n) const {
  return deals_between_nodes() ? most_rows_[node] * n : rows(node).floats(n);
}

std::int64_t FoldPlan::most_lanes(int local) const {
  return deals_between_nodes() ? moves.most_lanes : stores[local].lanes.size();
}

// Where there is but one stream nothing moves, unless other nodes give it lanes.
void FoldPlan::plan_moves() {
  const bool alone = topology.local_ranks() * layout.streams == 1;
  if ((alone && !deals_between_nodes()) || layout.buckets.empty()) return;
  moves = make_moves(layout, stores, deals_between_nodes() ? limits.rank[topology.node()] : 0);
  for (RankStores& rank : stores) {
    rank.slots = layout.streams * moves.slots();
    rank.remaining.clear();
    for (auto& stream : rank.streams) stream.needs_scratch = true;
  }
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

std::size_t FoldPlan::outbox_of(int local) const {
  if (!several_nodes()) return 0;
  std::int64_t floats = 0;
  for (int b = 0; b < buckets(); ++b) {
    floats += rows_floats(topology.node(), part(topology.node(), b, local).size());
  }
  return static_cast<std::size_t>(floats) * sizeof(float);
}

// Peers map whole multiples of 2 MiB, so that what else lies there is this rank's too.
DeviceLayout FoldPlan::device_of(int local) const {
  constexpr std::size_t kMapped = std::size_t{2} << 20;
  DeviceLayout d;
  d.slot_bytes = round_up(static_cast<std::size_t>(layout.flat_elements) * sizeof(float), 256);
  d.outbox = static_cast<std::size_t>(stores[local].slots) * d.slot_bytes;
  // What is neither added nor made narrow goes to the host straight from its slot.
  const bool staged = where == SumsIn::kStaged && local_program.adds.empty() &&
                      rows(topology.node()).narrow_rows() == 0;
  d.bytes = round_up(std::max<std::size_t>(1, d.outbox + (staged ? 0 : outbox_of(local))), kMapped);
  return d;
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
  w.summed = place(on_device() ? flags : 0, 64);
  w.done = place(flags, 64);
  w.released = place(sizeof(Flag), 64);
  w.recorded = place(sizeof(Flag), 64);
  w.closed = place(on_device() ? sizeof(Flag) : 0, 64);
  w.claims = place(moving() ? layout.streams * sizeof(ClaimWord) : 0, 64);
  const auto lanes_here = static_cast<std::size_t>(most_lanes(local));
  w.lanes = place(moving() ? lanes_here * sizeof(LaneState) : 0, 64);
  w.record_set = round_up(lanes_here * layout.record_bytes, 64);
  w.records = place(2 * w.record_set, 64);
  w.block_values = place(values_travel() ? 0 : layout.blocks.size() * sizeof(double), 64);
  w.slot_bytes = round_up(static_cast<std::size_t>(layout.flat_elements) * sizeof(float), kPage);
  w.slots = place(on_device() ? 0 : stores[local].slots * w.slot_bytes, kPage);
  w.results = place(where == SumsIn::kStaged ? w.slot_bytes : 0, kPage);
  w.outbox = place(where == SumsIn::kDevice ? 0 : outbox_of(local), kPage);
  w.bytes = round_up(w.bytes, kPage);
  return w;
}

std::size_t FoldPlan::private_bytes() const {
  const std::size_t inbox =
      where == SumsIn::kDevice ? 0 : static_cast<std::size_t>(inbox_floats) * sizeof(float);
  return round_up(tile_bytes, kPage) + round_up(scratch_bytes, kPage) +
         round_up(record_bytes, kPage) + round_up(value_bytes, kPage) + round_up(inbox, kPage);
}

std::size_t FoldPlan::device_bytes() const {
  if (!on_device()) return 0;
  const std::size_t inbox =
      where == SumsIn::kDevice ? static_cast<std::size_t>(inbox_floats) * sizeof(float) : 0;
  const DeviceLayout& mine = devices[topology.local()];
  return mine.bytes + inbox + stores[topology.local()].busy_streams() * mine.slot_bytes +
         layout.blocks.size() * (sizeof(TreeBlock) + sizeof(double));
}

}  // namespace lockstep::comm
