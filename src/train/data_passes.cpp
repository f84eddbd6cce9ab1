#include "train/data_passes.h"

#include "lockstep/core/fault.h"

namespace lockstep::train {

void DataPasses::begin(std::int64_t step, data::Position at,
                       std::function<parallel::Requests()> requests) {
  step_ = step;
  at_ = at;
  requests_ = std::move(requests);
}

void DataPasses::fill(const parallel::LanePass& pass) {
  fault::pass("data", pass.step + 1);
  const std::int64_t in_epoch = at_.step + pass.step - step_, epoch = loader_.steps_per_epoch();
  loader_.fill(pass.lane, {at_.epoch + in_epoch / epoch, in_epoch % epoch}, pass.micro,
               program_.input(pass.stream), program_.labels(pass.stream),
               program_.targets(pass.stream));
}

RandomKey DataPasses::key(const parallel::LanePass& pass) const {
  return {seed_, static_cast<std::uint64_t>(pass.step),
          static_cast<std::uint32_t>(pass.lane * accumulate_ + pass.micro)};
}

void DataPasses::run(const parallel::LanePass& pass) {
  fill(pass);
  fault::pass("forward", pass.step + 1);
  program_.train(pass.stream, key(pass), *pass.sink, *pass.record);
}

void DataPasses::run_together(std::span<const parallel::LanePass> passes) {
  for (std::size_t i = 0; i < passes.size(); ++i) {
    fill(passes[i]);
    fault::pass("forward", passes[i].step + 1);
    together_[i] = {passes[i].stream, key(passes[i]), passes[i].sink, passes[i].record};
  }
  program_.train_together(std::span(together_).first(passes.size()));
}

}  // namespace lockstep::train
