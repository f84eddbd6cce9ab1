// Lanes' passes over the training data: samples from the loader, forward and backward by the
// program. When, and for which lanes, is the strategy's affair. Allocates nothing, prints nothing.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "lockstep/core/events.h"
#include "lockstep/data/loader.h"
#include "lockstep/nn/program.h"
#include "lockstep/parallel/strategy.h"
#include "train/streams.h"

namespace lockstep::train {

// Summed over streams, in seconds, since the first pass.
struct PassTimes {
  std::int64_t passes = 0;
  double data = 0;     // samples were awaited and gathered
  double compute = 0;  // forward and backward, with what of the fold goes on in between
  // Of some passes: forward and backward, and how long of it the thread had a core.
  double sampled = 0, sampled_cpu = 0;
};

class DataPasses final : public parallel::LaneRunner {
 public:
  DataPasses(nn::Program& program, data::Loader& loader, Streams& streams, std::uint64_t seed,
             std::int64_t accumulate)
      : program_(program),
        loader_(loader),
        streams_(streams),
        seed_(seed),
        accumulate_(accumulate),
        together_(program.options().streams),
        times_(program.options().streams) {}

  // Before a stretch of steps that begins with `step`, whose samples are at `at`.
  void begin(std::int64_t step, data::Position at, std::function<parallel::Requests()> requests);

  void on_streams(const std::function<void(int stream)>& work) override { streams_.run(work); }
  void run(const parallel::LanePass& pass) override;
  void run_together(std::span<const parallel::LanePass> passes) override;
  parallel::Requests requests() override { return requests_(); }
  PassTimes times() const;  // between stretches

 private:
  struct alignas(64) StreamTimes {  // a cache line for each thread
    PassTimes times;
  };
  static events::About about(const parallel::LanePass& pass) {
    return {.step = pass.step + 1, .number = static_cast<std::int32_t>(pass.lane)};
  }
  void fill(const parallel::LanePass& pass);
  RandomKey key(const parallel::LanePass& pass) const;

  nn::Program& program_;
  data::Loader& loader_;
  Streams& streams_;
  const std::uint64_t seed_;
  const std::int64_t accumulate_;
  std::int64_t step_ = 0;
  data::Position at_;
  std::function<parallel::Requests()> requests_;
  std::vector<nn::Program::Pass> together_;  // scratch of run_together()
  std::vector<StreamTimes> times_;           // by stream
};

}  // namespace lockstep::train
