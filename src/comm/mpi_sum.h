// ReduceKind::kMpi: the rank's lanes added up, then MPI_Iallreduce bucket by bucket. The order of
// additions is MPI's own, so the bits may depend on the number of ranks: outside the contract.
#pragma once
#include <mpi.h>

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "fold_plan.h"
#include "lane_cursors.h"
#include "lane_stores.h"
#include "record_messages.h"
#include "wait.h"

namespace lockstep::comm {

class MpiSum final : public Fold {
 public:
  // messages: a communicator of its own over all ranks, or MPI_COMM_NULL on one rank.
  MpiSum(Waiter& waiter, const Topology& topology, const FoldLayout& layout,
         const FoldArithmetic& arithmetic, MPI_Comm messages);
  ~MpiSum() override;
  static std::size_t private_bytes(const Topology& topology, const FoldLayout& layout);

  std::int64_t next(int stream) override { return cursors_.next(stream); }
  std::vector<LaneRange> home(int stream) const override { return {cursors_.lanes(stream)}; }
  float* leaf(int stream, std::int64_t lane, int bucket) override {
    return lane_stores_->leaf(stream, lane, bucket);
  }
  void push(int stream, std::int64_t lane, int bucket) override;
  void set_record(std::int64_t lane, const void* record) override;
  void finish(std::int64_t step) override;
  const void* record(std::int64_t lane) const override;
  const float* sum(int block) const override;
  double block_value(int block) const override { return values_[block]; }
  using Fold::release;
  void release() override {}

  const FoldCounters& counters() const override { return counters_; }
  std::string path() const override { return "MPI_Iallreduce"; }
  std::size_t window_bytes() const override { return 0; }
  std::size_t private_bytes() const override { return private_bytes(topology_, layout_); }

  void progress() override;

 private:
  void start(int b);
  bool arrived(int b);
  float* result() const { return lane_stores_->slot(stores_.result_slot()); }

  Waiter& waiter_;
  Topology topology_;
  FoldLayout layout_;
  FoldArithmetic arithmetic_;
  MPI_Comm messages_;
  std::vector<BucketBlocks> blocks_;
  RankStores stores_;
  Pages slots_, records_;
  LaneCursors cursors_;
  std::optional<LaneStores> lane_stores_;
  std::optional<RecordMessages> record_messages_;
  std::unique_ptr<std::atomic<bool>[]> complete_;   // by bucket: all lanes are pushed
  std::vector<std::vector<MPI_Request>> requests_;  // by bucket
  std::vector<double> values_;                      // by block
  int started_ = 0, arrived_ = 0;
  double folding_ = 0, flight_since_ = 0;
  FoldCounters counters_;
};

}  // namespace lockstep::comm
