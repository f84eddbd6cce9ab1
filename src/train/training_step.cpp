#include "train/training_step.h"

namespace lockstep::train {

parallel::StepOutcome TrainingStep::run(std::int64_t step, data::Position at, Requests requests) {
  const Job job{step, at, requests};
  // Two pointers fit a std::function without an allocation.
  streams_.run([this, &job](int stream) {
    const comm::LaneRange lanes = strategy_.lanes(stream);
    for (std::int64_t lane = lanes.begin; lane < lanes.end; ++lane) run_lane(stream, lane, job);
    while (stream == 0 && !program_.done(stream)) strategy_.progress();
    program_.wait(stream);
    for (std::int64_t lane = lanes.begin; lane < lanes.end; ++lane)
      strategy_.set_record(lane, records_[lane]);
  });
  return strategy_.finish(step);
}

void TrainingStep::run_lane(int stream, std::int64_t lane, const Job& job) {
  parallel::StepRecord& record = records_[lane] = {};
  for (std::int64_t micro = 0; micro < accumulate_; ++micro) {
    const RandomKey random{seed_, static_cast<std::uint64_t>(job.step),
                           static_cast<std::uint32_t>(lane * accumulate_ + micro)};
    loader_.fill(lane, job.at, micro, program_.input(stream), program_.labels(stream),
                 program_.targets(stream));
    program_.train(stream, random, strategy_.begin(stream, lane, micro), record.lane);
  }
  record.stop_requests = job.requests.stop ? 1 : 0;
  record.save_requests = job.requests.save ? 1 : 0;
}

}  // namespace lockstep::train
