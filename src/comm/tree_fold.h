// ReduceKind::kFold: the tree over all lanes. Buckets go through three stages, each in order:
// folded over the node (this rank's part), folded over nodes (this rank's shard, by its owner), and
// back. On one node the first stage is all. Progress is made in push() on stream 0 and in finish();
// it starts work, looks what is done, and never waits. Who adds is the engine's affair.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "fold_context.h"
#include "fold_engine.h"
#include "lane_cursors.h"
#include "record_messages.h"
#include "wait.h"

namespace lockstep::comm {

class TreeFold final : public Fold {
 public:
  // path: for the start report.
  TreeFold(Waiter& waiter, std::unique_ptr<FoldContext> context, std::unique_ptr<FoldEngine> engine,
           std::string path);

  std::int64_t next(int stream) override;
  std::vector<LaneRange> home(int stream) const override { return {cursors_.lanes(stream)}; }
  void keep_lanes() override {
    if (claims_) claims_->keep();
  }
  LaneMoves moves() const override;
  float* leaf(int stream, std::int64_t lane, int bucket) override;
  void open(int stream, Stream& work) override { engine_->open(stream, work); }
  void mark(int stream, int bucket, Stream& work) override { engine_->mark(stream, bucket, work); }
  void push(int stream, std::int64_t lane, int bucket) override;
  void set_record(std::int64_t lane, const void* record) override;
  void finish(std::int64_t step) override;
  const void* record(std::int64_t lane) const override;
  // FoldPlan::deals_between_nodes(): of any lane in the step that has ended.
  LaneTime time(std::int64_t lane) const;
  const float* sum(int block) const override;
  double block_value(int block) const override { return *context_->value_place(block); }
  void release() override { publish(memory_.released(local_), round_ - 1); }
  void release(Stream& work) override;

  const FoldCounters& counters() const override { return counters_; }
  std::string path() const override { return path_; }
  std::size_t window_bytes() const override { return plan_.windows[local_].bytes; }
  std::size_t private_bytes() const override { return plan_.private_bytes(); }
  std::size_t device_bytes() const override { return plan_.device_bytes(); }

  void progress() override;

 private:
  void begin_step();
  void collect_parts();
  void collect_shards();
  void collect_returns();
  void part_is_folded(int b);
  bool all_local(Flag& (NodeMemory::*flag)(int, int) const, int b) const;
  bool stores_complete(int b) const;
  std::int64_t node_target() const { return round_ * plan_.node_lanes().size(); }
  void lane_is_measured(int stream, std::int64_t lane);
  bool shard_is_ready(int b);
  bool return_is_ready(int b);
  bool node_recorded() const;
  void publish_records();
  bool records_here();
  void watch_flight();
  void await_release(int stream);
  void look_at_release();
  std::byte* record_place(std::int64_t lane, std::int64_t round) const;
  std::byte* record_at_home(std::int64_t lane, std::int64_t round) const;
  bool computing() const { return engine_->late() && stored_ < plan_.buckets(); }

  Waiter& waiter_;
  const std::unique_ptr<FoldContext> context_;
  const std::unique_ptr<FoldEngine> engine_;
  const std::string path_;
  const FoldPlan& plan_;
  const NodeMemory& memory_;
  std::optional<Exchange>& exchange_;
  std::optional<LaneClaims>& claims_;
  const int node_, local_, locals_;
  std::optional<RecordMessages> record_messages_;
  LaneCursors cursors_;
  std::vector<int> lane_home_;  // lane of this node -> local rank that holds its record
  int peer_sources_ = 0;        // of the node's partial sums, how many lie with peers
  std::vector<std::int64_t> peer_piece_bytes_;  // bucket -> read from peers' outboxes

  std::int64_t round_ = 1;  // steps begun, this one included
  std::int64_t step_ = -1;
  bool begun_ = false;
  struct Passed {  // buckets through a stage
    int started = 0, done = 0;
  };
  int stored_ = 0;  // late engines: buckets of which this rank's stores are complete
  Passed parts_, shards_, returns_;
  int awaited_bucket_ = 0;
  std::atomic<std::int64_t> records_set_{0};
  bool records_published_ = false;
  double flight_since_ = 0, flight_folding_ = 0;  // since when a bucket of ours is in flight
  std::mutex releasing_;
  std::atomic<bool> release_pending_{false};
  struct alignas(64) StreamState {
    std::int64_t round = 0;  // the step for which the peers have released this rank's window
    double waited = 0;
    double lane_began = 0, lane_waited = 0;
  };
  std::vector<StreamState> streams_;
  FoldCounters counters_;
};

}  // namespace lockstep::comm
