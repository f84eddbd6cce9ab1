// The host as a fold's engine: lanes' stores in the windows, additions block by block in the
// calling thread.
#pragma once
#include "fold_context.h"
#include "fold_engine.h"
#include "host_stages.h"
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
  void start(Stage stage, int bucket) override { stages_.run(stage, bucket); }
  bool done(Stage, int) override { return true; }
  double folding() const override { return stages_.seconds(); }
  double seconds() const override { return stages_.seconds() + stores_.seconds(); }

 private:
  LaneStores stores_;
  HostStages stages_;
};

}  // namespace lockstep::comm
