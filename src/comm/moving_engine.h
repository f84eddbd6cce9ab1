// The host as a fold's engine where lanes move between the streams of a node: what a rank's part is
// added from is found in each step, when all lanes are claimed.
#pragma once
#include "fold_engine.h"
#include "host_stages.h"
#include "moving_stores.h"

namespace lockstep::comm {

class MovingEngine final : public FoldEngine {
 public:
  MovingEngine(FoldContext& context, const FoldArithmetic& arithmetic);

  bool late() const override { return false; }
  LaneRange lanes(int stream) const override {
    return context_.plan.stores[context_.local].streams[stream].lanes;
  }
  void begin_lane(int stream, const Claim& claim) override { stores_.open(stream, claim); }
  float* leaf(int stream, std::int64_t lane, int bucket) override {
    return stores_.leaf(stream, lane, bucket);
  }
  // Never says that the rank's stores are complete: its node's are, when all lanes are pushed.
  bool push(int stream, std::int64_t lane, int bucket) override {
    stores_.push(stream, lane, bucket);
    return false;
  }
  void end_step() override { stores_.end_step(); }
  void start(Stage stage, int bucket) override;
  bool done(Stage, int) override { return true; }
  double folding() const override { return finding_ + stages_.seconds(); }
  double seconds() const override { return folding() + stores_.seconds(); }

 private:
  FoldContext& context_;
  MovingStores stores_;
  StepProgram program_;
  HostStages stages_;
  double finding_ = 0;  // seconds of finding sources
};

}  // namespace lockstep::comm
