// ReduceKind::kFold: the tree over all lanes. Buckets go through three stages, each in order:
// folded over the node (this rank's part), folded over nodes (this rank's shard, by its owner), and
// back. On one node the first stage is all. Progress is made in push() on stream 0 and in finish().
#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "exchange.h"
#include "lane_stores.h"
#include "node_memory.h"
#include "record_messages.h"
#include "tile_runner.h"
#include "wait.h"

namespace lockstep::comm {

class TreeFold final : public Fold {
 public:
  // messages: a communicator of its own over all ranks, or MPI_COMM_NULL on one node.
  TreeFold(Waiter& waiter, std::unique_ptr<FoldPlan> plan, std::unique_ptr<SharedWindow> window,
           const FoldArithmetic& arithmetic, MPI_Comm messages);
  ~TreeFold() override;

  LaneRange lanes(int stream) const override { return stores_.lanes(stream); }
  float* leaf(int stream, std::int64_t lane, int bucket) override;
  void push(int stream, std::int64_t lane, int bucket) override;
  void set_record(std::int64_t lane, const void* record) override;
  void finish(std::int64_t step) override;
  const void* record(std::int64_t lane) const override;
  const float* sum(int block) const override;
  double block_value(int block) const override;
  void release() override;

  const FoldCounters& counters() const override { return counters_; }
  std::size_t window_bytes() const override { return plan_->windows[local_].bytes; }
  std::size_t private_bytes() const override { return plan_->private_bytes(); }

 private:
  void begin_step();
  void progress();
  void fold_part(int b);
  void fold_part_for_owners(int b);
  void fold_shard(int b);
  void sum_returned(int b);
  bool node_is_ready(int b) const;
  bool shard_is_ready(int b);
  void publish_records();
  bool records_here();
  void watch_flight();
  void await_release(int stream);
  std::byte* record_place(std::int64_t lane, std::int64_t round) const;
  double* value_place(int block) const { return memory_.block_values(home_[block]) + block; }

  Waiter& waiter_;
  std::unique_ptr<FoldPlan> plan_;
  NodeMemory memory_;
  FoldArithmetic arithmetic_;
  int node_, local_, locals_;
  LaneStores stores_;
  Pages tiles_;
  TileRunner local_runner_, owner_runner_;
  MPI_Comm messages_;
  Pages inbox_;
  std::optional<Exchange> exchange_;
  std::optional<RecordMessages> record_messages_;
  std::vector<int> home_;                 // block -> local rank that holds its sum
  std::vector<int> lane_home_;            // lane -> local rank that holds its record, on one node
  std::vector<int> cursor_;               // node -> local rank, while a shard is folded
  std::vector<std::int64_t> peer_bytes_;  // bucket -> read from peers' windows

  std::int64_t round_ = 1;  // steps begun, this one included
  std::int64_t step_ = -1;
  bool begun_ = false;
  int folded_ = 0, owned_ = 0, returned_ = 0;  // buckets through each stage
  int awaited_bucket_ = 0;
  std::atomic<std::int64_t> records_set_{0};
  bool records_published_ = false;
  double flight_since_ = 0, flight_folding_ = 0;  // since when a bucket of ours is in flight
  struct alignas(64) StreamState {
    std::int64_t round = 0;  // the step for which the peers have released this rank's window
    double waited = 0;
  };
  std::vector<StreamState> streams_;
  double folding_ = 0;
  FoldCounters counters_;
};

}  // namespace lockstep::comm
