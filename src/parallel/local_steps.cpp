#include "parallel/local_steps.h"

#include <fmt/format.h>

namespace lockstep::parallel {

LocalSteps::LocalSteps(comm::Communicator& self, Device& device, nn::Program& program,
                       const optim::Options& optimizer_options, const Options& options,
                       int replicas)
    : Synchronous(self, device, program, optimizer_options, options),
      flat_(device.allocate(flat_bytes(), "parameters")) {
  if (!device.is_host()) on_host_ = device.allocate_on_host(flat_bytes(), "a replica's parameters");
  for (int i = 0; i < replicas; ++i)
    optimizers_.push_back(std::make_unique<optim::Optimizer>(table_, optimizer_options_, device));
  optimizer_ = optimizers_.front().get();
  program_.bind(flat_.as<float>());
}

void LocalSteps::take_up(int replica, std::int64_t first_lane) {
  optimizer_ = optimizers_[replica].get();
  first_lane_ = first_lane;
}

void LocalSteps::begin_from(const float* parameters) {
  device_.copy(flat_.data(), parameters, flat_bytes(), program_.stream(0));
  program_.pack();
}

const float* LocalSteps::changed() {
  if (device_.is_host()) return flat_.as<float>();
  Stream& stream = program_.stream(0);
  device_.copy(on_host_.data(), flat_.data(), flat_bytes(), stream);
  stream.synchronize();
  return on_host_.as<float>();
}

std::vector<StateTensor> LocalSteps::state() {
  std::vector<StateTensor> tensors{{"parameters", flat_.as<float>()}};
  const auto& names = optimizer_->state_names();
  for (std::size_t i = 0; i < names.size(); ++i)
    tensors.push_back({"optimizer/" + names[i], optimizer_->state(static_cast<int>(i))});
  return tensors;
}

void LocalSteps::update(std::int64_t step, double scale, double statistics_scale) {
  const auto sum = [this](int block) { return fold_->sum(block); };
  Stream& stream = program_.stream(0);
  if (device_.is_host()) {  // parameter by parameter: what is packed is still in cache
    optimizer_->step(
        flat_.as<float>(), step, scale, statistics_scale, sum,
        [this](int parameter) { program_.pack(parameter); }, &stream);
  } else {
    optimizer_->step(flat_.as<float>(), step, scale, statistics_scale, sum, {}, &stream);
    program_.pack();
  }
  fold_->release(stream);
}

std::vector<nn::LedgerRow> LocalSteps::ledger() const {
  std::size_t state = 0;
  for (const auto& optimizer : optimizers_) state += optimizer->state_bytes();
  std::vector<nn::LedgerRow> rows{
      {"parameters", flat_.bytes(), "fp32, of the replica at work, running statistics included"},
      {"optimizer state", state,
       fmt::format("{}, of {} replica{}", name_of(optimizer_options_.kind), optimizers_.size(),
                   optimizers_.size() == 1 ? "" : "s")}};
  if (on_host_.bytes() > 0)
    rows.push_back(
        {"parameters on the host", on_host_.bytes(), "of a replica, for meetings", true});
  for (nn::LedgerRow& row : Synchronous::ledger()) rows.push_back(std::move(row));
  return rows;
}

}  // namespace lockstep::parallel
