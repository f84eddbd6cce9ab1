// A fold of several nodes that are dealt lanes anew between two steps: the tree fold of the cut
// that is in force, made anew for another one, in windows that have room for any. Knows nothing of
// when a deal is due.
#pragma once
#include <mpi.h>

#include <memory>
#include <string>
#include <vector>

#include "node_dealer.h"
#include "tree_fold.h"

namespace lockstep::comm {

class DealtFold final : public Fold {
 public:
  // plan: of the even cut. messages: a communicator of its own over all ranks.
  DealtFold(Communicator& communicator, std::unique_ptr<FoldPlan> plan,
            std::unique_ptr<SharedWindow> window, MPI_Comm messages,
            const FoldArithmetic& arithmetic, std::string path);
  ~DealtFold() override;

  const LaneCuts* deal_between_nodes() override;
  std::int64_t next(int stream) override { return fold_->next(stream); }
  std::vector<LaneRange> home(int stream) const override { return fold_->home(stream); }
  void keep_lanes() override;
  LaneMoves moves() const override;
  float* leaf(int stream, std::int64_t lane, int bucket) override {
    return fold_->leaf(stream, lane, bucket);
  }
  void push(int stream, std::int64_t lane, int bucket) override {
    fold_->push(stream, lane, bucket);
  }
  void progress() override { fold_->progress(); }
  void set_record(std::int64_t lane, const void* record) override {
    fold_->set_record(lane, record);
  }
  void finish(std::int64_t step) override;
  const void* record(std::int64_t lane) const override { return fold_->record(lane); }
  const float* sum(int block) const override { return fold_->sum(block); }
  double block_value(int block) const override { return fold_->block_value(block); }
  void release() override { fold_->release(); }
  const FoldCounters& counters() const override;
  std::size_t window_bytes() const override { return fold_->window_bytes(); }
  std::size_t private_bytes() const override { return fold_->private_bytes(); }
  std::string path() const override { return path_; }

 private:
  void make(std::unique_ptr<FoldPlan> plan);
  void switch_cut();

  Communicator& communicator_;
  const Topology topology_;  // with nodes split where they had to be
  const FoldLayout layout_;
  const std::unique_ptr<SharedWindow> window_;
  MPI_Comm messages_;
  const FoldArithmetic arithmetic_;
  const std::string path_;
  NodeDealer dealer_;
  LaneCuts cuts_;
  bool announced_ = false, keeps_ = false;
  std::unique_ptr<TreeFold> fold_;
  std::size_t header_bytes_ = 0;  // of the window: all but sums
  // Of the folds that were made before this one.
  FoldCounters before_;
  LaneMoves moved_before_;
  mutable FoldCounters counters_;
};

}  // namespace lockstep::comm
