// The host as a fold's engine: lanes' stores in the windows, additions block by block in the
// calling thread.
#pragma once
#include "fold_context.h"
#include "fold_engine.h"
#include "host_parts.h"
#include "host_shards.h"
#include "lane_stores.h"

namespace lockstep::comm {

class HostEngine final : public FoldEngine {
 public:
  HostEngine(FoldContext& context, const FoldArithmetic& arithmetic);

  bool late() const override { return false; }
  LaneRange lanes(int stream) const override { return stores_.lanes(stream); }
  float* leaf(int stream, std::int64_t lane, int bucket) override {
    return stores_.leaf(stream, lane, bucket);
  }
  bool push(int stream, std::int64_t lane, int bucket) override {
    return stores_.push(stream, lane, bucket);
  }
  void end_step() override { stores_.end_step(); }
  void start(Stage stage, int bucket) override;
  bool done(Stage, int) override { return true; }
  double folding() const override { return folding_; }
  double seconds() const override { return folding_ + stores_.seconds(); }

 private:
  LaneStores stores_;
  Pages tiles_;
  HostParts parts_;
  HostShards shards_;
  double folding_ = 0;
};

}  // namespace lockstep::comm
