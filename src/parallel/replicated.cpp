#include "parallel/replicated.h"

namespace lockstep::parallel {

Replicated::Replicated(comm::Communicator& communicator, Device& device, nn::Program& program,
                       const optim::Options& optimizer_options, const Options& options)
    : Synchronous(communicator, device, program, optimizer_options, options),
      flat_(device.allocate(static_cast<std::size_t>(table_.flat_elements()) * sizeof(float),
                            "parameters")),
      optimizer_(table_, optimizer_options_, device) {
  program_.bind(flat_.as<float>());
}

void append_state(std::vector<StateTensor>& tensors, const optim::Optimizer& optimizer) {
  const auto& names = optimizer.state_names();
  for (std::size_t i = 0; i < names.size(); ++i)
    tensors.push_back({.name = "optimizer/" + names[i],
                       .data = optimizer.state(static_cast<int>(i)),
                       .runs = optimizer.runs()});
}

std::vector<StateTensor> Replicated::state() {
  std::vector<StateTensor> tensors{{"parameters", flat_.as<float>()}};
  append_state(tensors, optimizer_);
  return tensors;
}

void Replicated::update(std::int64_t step, double scale, double statistics_scale) {
  const auto sum = [this](int block) { return fold_->sum(block); };
  Stream& stream = program_.stream(0);
  if (device_.is_host()) {  // parameter by parameter: what is packed is still in cache
    optimizer_.step(
        flat_.as<float>(), step, scale, statistics_scale, sum,
        [this](int parameter) { program_.pack(parameter); }, &stream);
  } else {
    optimizer_.step(flat_.as<float>(), step, scale, statistics_scale, sum, {}, &stream);
    program_.pack();
  }
  fold_->release(stream);
}

std::vector<nn::LedgerRow> Replicated::ledger() const {
  std::vector<nn::LedgerRow> rows{
      {"parameters", flat_.bytes(), "fp32, running statistics included"},
      {"optimizer state", optimizer_.state_bytes(), std::string(name_of(optimizer_options_.kind))}};
  for (nn::LedgerRow& row : Synchronous::ledger()) rows.push_back(std::move(row));
  return rows;
}

}  // namespace lockstep::parallel
