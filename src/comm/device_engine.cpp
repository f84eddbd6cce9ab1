#include "device_engine.h"

#include <cstring>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"

namespace lockstep::comm {
namespace {

constexpr std::uint8_t kNoMerge[] = {0};

}  // namespace

DeviceEngine::DeviceEngine(FoldContext& context, const FoldDevice& device,
                           const FoldArithmetic& arithmetic)
    : context_(context),
      device_(device),
      blocks_(upload_blocks(*device.device, context.plan.layout)) {
  const FoldPlan& plan = context.plan;
  Device& d = *device.device;
  const std::size_t values = plan.layout.blocks.size() * sizeof(double);
  values_ = d.allocate(values, "sums of squares of the gradient");
  host_values_ = d.allocate_on_host(values, "sums of squares of the gradient");
  stores_.emplace(plan.layout, plan.stores[context.local], device,
                  context.memory.slot(context.local, 0),
                  static_cast<std::int64_t>(plan.devices[context.local].slot_bytes / sizeof(float)),
                  blocks_.as<TreeBlock>());
  find_sources();
  owner_merges_ = tree_merges(plan.owner_nodes, plan.layout.lanes);
  for (auto& stream : streams_) stream = d.make_stream();
  download_ = d.make_stream();
  folded_ = d.make_event();
  read_ = d.make_event();
  if (staged()) {
    tiles_ = Pages(plan.tile_bytes);
    shards_.emplace(context, arithmetic, reinterpret_cast<float*>(tiles_.data()));
  }
  for (auto& works : work_) {
    works.resize(plan.buckets());
    for (Work& w : works) w.event = d.make_event();
  }
  for (int b = 0; b < plan.buckets(); ++b) {
    if (!context.exchange) {
      plan_part(b);
      continue;
    }
    plan_part_for_owners(b);
    if (!staged()) plan_shard(b);
    plan_return(b);
  }
}

// What still runs reads and writes what is about to go. Streams wait for themselves on the cpu;
// after an error nothing may be known of them.
DeviceEngine::~DeviceEngine() {
  try {
    for (const auto& stream : streams_) stream->synchronize();
    download_->synchronize();
    read_->synchronize();
  } catch (const Error&) {
  }
}

// Sums of squares are wanted where a sum is complete on the device.
bool DeviceEngine::has_values(Stage stage) const {
  return !staged() && (stage != Stage::kPart || !context_.exchange);
}

std::span<const std::uint8_t> DeviceEngine::merges(Stage stage) const {
  if (stage == Stage::kPart) return local_merges_;
  if (stage == Stage::kShard) return owner_merges_;
  return kNoMerge;
}

// Joins blocks that follow each other and whose addresses go on.
void DeviceEngine::add(Stage stage, int b, int block, Run run) {
  std::vector<Run>& runs = work(stage, b).runs;
  if (!runs.empty() && runs.back() == run && runs.back().first + runs.back().count == block) {
    ++runs.back().count;
    return;
  }
  run.first = block;
  run.count = 1;
  runs.push_back(std::move(run));
}

// A lane that leaves the node alone and as bf16 is no part of the node's tree: nothing is added to
// it, and a kernel of its own makes it narrow.
void DeviceEngine::find_sources() {
  const FoldPlan& plan = context_.plan;
  std::vector<const float*> all;
  for (int l = 0; l < context_.locals; ++l) {
    for (const auto& [node, slot] : plan.stores[l].remaining)
      all.push_back(context_.memory.slot(l, slot));
  }
  const PieceRows& rows = plan.rows(context_.node);
  alone_.assign(rows.size(), nullptr);
  std::vector<bool> leaves(all.size());
  for (const auto& [into, from] : plan.local_program.moves) {
    const int row = into - plan.local_program.first_out();
    if (!rows.narrow(row)) continue;
    alone_[row] = all[from];
    leaves[from] = true;
  }
  std::vector<Node> nodes;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (leaves[i]) continue;
    sources_.push_back(all[i]);
    nodes.push_back(plan.local_nodes[i]);
  }
  local_merges_ = tree_merges(nodes, plan.layout.lanes);
}

void DeviceEngine::plan_part(int b) {
  const auto& cut = context_.plan.parts(context_.node, b);
  for (int block = cut[context_.local]; block < cut[context_.local + 1]; ++block) {
    add(Stage::kPart, b, block, {0, 0, sources_, {context_.memory.sum(context_.local)}});
  }
}

// To the outbox, piece by piece. Staged: to that of the device, or nowhere if nothing is added, and
// from there to the host's.
void DeviceEngine::plan_part_for_owners(int b) {
  const FoldPlan& plan = context_.plan;
  const auto& cut = plan.parts(context_.node, b);
  int owner = -1;
  std::vector<float*> outs;
  for (int block = cut[context_.local]; block < cut[context_.local + 1]; ++block) {
    const int before = owner;
    owner = std::max(owner, 0);
    while (block >= plan.shards(b)[owner + 1]) ++owner;
    if (owner != before) outs = plan_piece(b, context_.exchange->piece_out(b, owner));
    if (!only_moved() && !outs.empty()) add(Stage::kPart, b, block, {0, 0, sources_, outs});
  }
}

// Returns where the tree's outs go.
std::vector<float*> DeviceEngine::plan_piece(int b, const Piece& piece) {
  Work& w = work(Stage::kPart, b);
  const auto elements = static_cast<std::size_t>(piece.range.size());
  std::vector<float*> outs;
  for (int row = 0; row < piece.rows; ++row) {
    float* const at = piece.row(row);
    float* on_device = at;
    if (staged()) {
      on_device = context_.memory.device_outbox(context_.local) +
                  (at - context_.memory.outbox(context_.local));
    }
    if (alone_[row] != nullptr) {
      w.packs.push_back({reinterpret_cast<std::uint16_t*>(on_device),
                         alone_[row] + piece.range.begin, piece.range.size()});
      w.copies.push_back({at, on_device, elements * sizeof(std::uint16_t)});
      continue;
    }
    if (staged()) {
      const float* const from =
          only_moved() ? sources_[outs.size()] + piece.range.begin : on_device;
      w.copies.push_back({at, from, elements * sizeof(float)});
    }
    outs.push_back(on_device - piece.range.begin);
  }
  return outs;
}

void DeviceEngine::plan_shard(int b) {
  const FoldPlan& plan = context_.plan;
  const Topology& topology = plan.topology;
  std::vector<int> cursor(topology.nodes());
  for (int block = plan.shards(b)[topology.position]; block < plan.shards(b)[topology.position + 1];
       ++block) {
    Run run;
    for (int node = 0; node < topology.nodes(); ++node) {
      while (block >= plan.parts(node, b)[cursor[node] + 1]) ++cursor[node];
      const Piece& piece = context_.exchange->piece_in(b, node, cursor[node]);
      for (int row = 0; row < piece.rows; ++row)
        run.sources.push_back(piece.row(row) - piece.range.begin);
    }
    run.outs = {context_.memory.result(context_.home[block])};
    add(Stage::kShard, b, block, std::move(run));
  }
}

// Staged: the whole part is uploaded. Else it lies where messages brought it, and only its sums of
// squares are missing.
void DeviceEngine::plan_return(int b) {
  const FoldPlan& plan = context_.plan;
  float* const sum = context_.memory.sum(context_.local);
  if (staged()) {
    const Range part = plan.part(context_.node, b, context_.local);
    if (part.size() == 0) return;
    work(Stage::kReturn, b)
        .copies.push_back({sum + part.begin, context_.memory.result(context_.local) + part.begin,
                           static_cast<std::size_t>(part.size()) * sizeof(float)});
    return;
  }
  const auto& cut = plan.parts(context_.node, b);
  int owner = 0;
  for (int block = cut[context_.local]; block < cut[context_.local + 1]; ++block) {
    while (block >= plan.shards(b)[owner + 1]) ++owner;
    if (plan.topology.node_of[owner] != context_.node)
      add(Stage::kReturn, b, block, {0, 0, {sum}, {sum}});
  }
}

void DeviceEngine::start(Stage stage, int b) {
  if (shards_ && stage != Stage::kPart) {
    const ScopedTimer timer(folding_);
    stage == Stage::kShard ? shards_->fold(b) : shards_->sum_returned(b);
  }
  give(stage, b);
}

// Kernels of one bucket run while the copies of the one before are under way.
void DeviceEngine::give(Stage stage, int b) {
  Work& w = work(stage, b);
  Stream* stream = streams_[static_cast<int>(stage)].get();
  Device& device = *device_.device;
  for (const Run& run : w.runs) {
    double* const values = has_values(stage) ? values_.as<double>() + run.first : nullptr;
    device_.arithmetic->fold({run.sources, merges(stage), run.outs},
                             blocks_.as<TreeBlock>() + run.first, run.count, values, *stream);
    if (values != nullptr) {
      device.copy(host_values_.as<double>() + run.first, values,
                  static_cast<std::size_t>(run.count) * sizeof(double), *stream);
    }
  }
  for (const Pack& pack : w.packs)
    device_.arithmetic->pack_bf16(pack.to, pack.from, pack.elements, *stream);
  if (stage == Stage::kPart && !w.copies.empty()) {
    folded_->record(*stream);
    stream = download_.get();
    folded_->wait(*stream);
  }
  for (const Copy& copy : w.copies) device.copy(copy.to, copy.from, copy.bytes, *stream);
  w.event->record(*stream);
}

bool DeviceEngine::done(Stage stage, int b) {
  Work& w = work(stage, b);
  if (!w.event->done()) return false;
  for (const Run& run : w.runs) {
    if (!has_values(stage)) break;
    for (int block = run.first; block < run.first + run.count; ++block)
      *context_.value_place(block) = host_values_.as<double>()[block];
  }
  return true;
}

}  // namespace lockstep::comm
