// A device as a fold's engine: trees as kernels over the node's device memory, each stage on a
// stream of its own. Where messages are the host's, the part goes to pinned memory, the host folds
// the shard, and sums are uploaded: the shard's pieces arrive in the host's memory, so adding there
// moves fewest bytes over the bus.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "device_stores.h"
#include "fold_context.h"
#include "fold_engine.h"
#include "host_shards.h"

namespace lockstep::comm {

class DeviceEngine final : public FoldEngine {
 public:
  DeviceEngine(FoldContext& context, const FoldDevice& device, const FoldArithmetic& arithmetic);
  ~DeviceEngine() override;

  bool late() const override { return true; }
  LaneRange lanes(int stream) const override { return stores_->lanes(stream); }
  float* leaf(int stream, std::int64_t, int bucket) override {
    return stores_->leaf(stream, bucket);
  }
  void open(int stream, Stream& work) override { stores_->open(stream, work); }
  void mark(int stream, int bucket, Stream& work) override { stores_->mark(stream, bucket, work); }
  bool push(int stream, std::int64_t lane, int bucket) override {
    stores_->push(stream, lane, bucket);
    return false;
  }
  bool stored(int bucket) override { return stores_->take_complete(bucket); }
  void end_step() override { stores_->end_step(); }
  void start(Stage stage, int bucket) override;
  bool done(Stage stage, int bucket) override;
  void release(Stream& work) override { read_->record(work); }
  bool released() override { return read_->done(); }
  double folding() const override { return folding_; }
  double seconds() const override { return folding_; }

 private:
  struct Run {  // blocks that one tree, at one set of addresses, folds
    int first = 0, count = 0;
    std::vector<const float*> sources;
    std::vector<float*> outs;
    bool operator==(const Run& other) const {
      return sources == other.sources && outs == other.outs;
    }
  };
  struct Pack {  // of a single lane, to half the bytes
    std::uint16_t* to = nullptr;
    const float* from = nullptr;
    std::int64_t elements = 0;
  };
  struct Copy {
    void* to = nullptr;
    const void* from = nullptr;
    std::size_t bytes = 0;
  };
  struct Work {  // of one stage and bucket
    std::vector<Run> runs;
    std::vector<Pack> packs;   // after the runs
    std::vector<Copy> copies;  // after both
    std::unique_ptr<Event> event;
  };
  bool staged() const { return context_.plan.where == SumsIn::kStaged; }
  // What leaves goes from the slots, or their bf16, straight to the host.
  bool only_moved() const { return staged() && context_.plan.local_program.adds.empty(); }
  bool has_values(Stage stage) const;
  std::span<const std::uint8_t> merges(Stage stage) const;
  Work& work(Stage stage, int b) { return work_[static_cast<int>(stage)][b]; }
  void plan_part(int b);
  void plan_part_for_owners(int b);
  void plan_shard(int b);
  void plan_return(int b);
  void find_sources();
  std::vector<float*> plan_piece(int b, const Piece& piece);
  void add(Stage stage, int b, int block, Run run);
  void give(Stage stage, int b);

  FoldContext& context_;
  const FoldDevice device_;
  Buffer blocks_, values_, host_values_;
  std::optional<DeviceStores> stores_;
  Pages tiles_;
  std::optional<HostShards> shards_;
  std::vector<const float*> sources_;  // the node's partial sums that are added, or leave as fp32
  std::vector<const float*> alone_;    // by canonical node of this node: a lane that leaves as bf16
  std::vector<std::uint8_t> local_merges_, owner_merges_;
  std::array<std::vector<Work>, 3> work_;
  std::array<std::unique_ptr<Stream>, 3> streams_;
  std::unique_ptr<Stream> download_;
  std::unique_ptr<Event> folded_, read_;
  double folding_ = 0;
};

}  // namespace lockstep::comm
