#include "lockstep/optim/optimizer.h"

#include <algorithm>
#include <cmath>

#include "lockstep/core/error.h"
#include "lockstep/ops/vector.h"
#include "optim/norms.h"

namespace lockstep::optim {
namespace {

constexpr double kStatisticsMomentum = 0.1;  // as PyTorch's batch norm

void move_statistics(float* running, const float* sum, std::int64_t n, double scale) {
  for (std::int64_t i = 0; i < n; ++i) {
    running[i] = static_cast<float>((1 - kStatisticsMomentum) * running[i] +
                                    kStatisticsMomentum * (sum[i] * scale));
  }
}

ops::SgdStep sgd_step(const Options& o, double lr, double decay, double scale, std::int64_t step) {
  return {static_cast<float>(lr),
          static_cast<float>(o.momentum),
          static_cast<float>(decay),
          static_cast<float>(scale),
          o.nesterov,
          step == 0};
}

// Kingma & Ba 2015: t counts from 1.
ops::AdamStep adam_step(const Options& o, double lr, double decay, double scale,
                        std::int64_t step) {
  const auto t = static_cast<double>(step + 1);
  ops::AdamStep s{};
  s.lr = lr;
  s.beta1 = o.beta1;
  s.beta2 = o.beta2;
  s.epsilon = o.epsilon;
  s.decay = decay;
  s.g_scale = scale;
  s.c1 = 1 - std::pow(o.beta1, t);
  s.c2 = 1 - std::pow(o.beta2, t);
  s.decoupled = o.kind != Kind::kAdam;
  return s;
}

}  // namespace

std::vector<std::string> state_names(const Options& o) {
  if (o.kind != Kind::kSgd) return {"m", "v"};
  if (o.momentum != 0) return {"momentum"};
  return {};
}

Optimizer::Optimizer(const ParameterTable& table, const Options& options, Device& device)
    : Optimizer(table, options, device, {}, {}) {}

Optimizer::Optimizer(const ParameterTable& table, const Options& options, Device& device,
                     std::vector<bool> mine, Share share, bool packed_parameters)
    : table_(table),
      options_(options),
      state_names_(optim::state_names(options)),
      mine_(std::move(mine)),
      packed_(!mine_.empty() && !device.is_host()),
      packed_parameters_(packed_parameters),
      share_(std::move(share)) {
  if (options.schedule == Schedule::kStep && options.step_every < 1) {
    throw UserError(
        "the schedule 'step' needs to know when: set optimizer.step_every to 1 step or more");
  }
  if (options.kind == Kind::kSgd && options.nesterov && options.momentum <= 0) {
    throw UserError("Nesterov's method needs momentum: set optimizer.momentum, 0.9 for example");
  }
  if (packed_) runs_ = runs_of(table, mine_);
  const std::size_t bytes =
      sizeof(float) * (packed_ ? packed_elements(runs_) : table.flat_elements());
  const bool sparse = !mine_.empty() && !packed_;
  Device& memory = sparse ? sparse_cpu_device() : device;
  for (std::size_t i = 0; i < state_names_.size(); ++i) {
    state_.push_back(memory.allocate(bytes, "optimizer state"));
    if (sparse) touch_mine(state_.back().as<float>());
  }
  flat_update_ = ops::make_flat_update(device, table, packed_ ? runs_ : whole_run(table));
  if (flat_update_) {
    gradients_.resize(table.blocks().size());
  } else if (options.kind == Kind::kLamb) {
    std::int64_t largest = 0;
    for (const Parameter& p : table.parameters()) largest = std::max(largest, p.elements);
    update_ = memory.allocate(mine_.empty() ? sizeof(float) * largest : bytes, "direction of LAMB");
    if (sparse) touch_mine(update_.as<float>());
    squares_.resize(2 * table.blocks().size());
  }
}

// So that no step meets a page fault.
void Optimizer::touch_mine(float* tensor) const {
  for (std::size_t b = 0; b < mine_.size(); ++b) {
    const Block& block = table_.blocks()[b];
    if (mine_[b]) std::fill_n(tensor + block.begin, block.elements, 0.0f);
  }
}

std::size_t Optimizer::state_bytes() const {
  std::size_t bytes = flat_update_ ? flat_update_->bytes() : 0;
  if (mine_.empty() || packed_) {
    for (const Buffer& b : state_) bytes += b.bytes();
    return bytes + update_.bytes();
  }
  std::size_t touched = 0;
  for (std::size_t b = 0; b < mine_.size(); ++b) {
    if (mine_[b]) touched += sizeof(float) * static_cast<std::size_t>(table_.blocks()[b].elements);
  }
  return bytes + touched * (state_.size() + (update_.bytes() > 0 ? 1 : 0));
}

void Optimizer::step(float* parameters, std::int64_t step, double scale, double statistics_scale,
                     const std::function<const float*(int block)>& gradient,
                     const std::function<void(int parameter)>& updated, Stream* stream) {
  if (flat_update_) {
    LOCKSTEP_CHECK(stream != nullptr, "a step on a device needs a stream");
    step_on_device({parameters, statistics_scale, packed_parameters_}, step, scale, gradient,
                   *stream);
    for (int i = 0; updated && i < table_.size(); ++i) updated(i);
    return;
  }
  const double lr = learning_rate(options_, step);
  const auto adapts = [this](int i) {
    return options_.kind == Kind::kLamb && table_[i].kind != ParameterKind::kStatistic;
  };
  for (int i = 0; i < table_.size(); ++i) {
    if (!adapts(i)) {
      step_parameter(parameters, i, lr, scale, statistics_scale, step, gradient);
    } else {
      lamb_directions(parameters, i, scale, step, gradient);
      if (mine_.empty()) lamb_apply(parameters, i, lr);
    }
    if (updated) updated(i);
  }
  if (mine_.empty() || options_.kind != Kind::kLamb) return;
  share_(squares_);
  for (int i = 0; i < table_.size(); ++i) {
    if (adapts(i)) lamb_apply(parameters, i, lr);
  }
}

void Optimizer::step_on_device(const ops::FlatStep& flat, std::int64_t step, double scale,
                               const std::function<const float*(int block)>& gradient,
                               Stream& stream) {
  for (int b = 0; b < static_cast<int>(gradients_.size()); ++b) {
    if (is_mine(b)) gradients_[b] = gradient(b);
  }
  flat_update_->set_gradients(gradients_, stream);
  const double lr = learning_rate(options_, step);
  if (options_.kind == Kind::kSgd) {
    flat_update_->sgd(flat, sgd_step(options_, lr, options_.decay, scale, step),
                      state_.empty() ? nullptr : state(0), stream);
    return;
  }
  const ops::AdamStep rule = adam_step(options_, lr, options_.decay, scale, step);
  if (options_.kind == Kind::kLamb) {
    flat_update_->lamb(flat, rule, state(0), state(1), share_, stream);
  } else {
    flat_update_->adam(flat, rule, state(0), state(1), stream);
  }
}

void Optimizer::step_parameter(float* parameters, int parameter, double lr, double scale,
                               double statistics_scale, std::int64_t step,
                               const std::function<const float*(int block)>& gradient) {
  const ParameterKind kind = table_[parameter].kind;
  const double decay = kind == ParameterKind::kWeight ? options_.decay : 0;
  const ops::AdamStep adam = adam_step(options_, lr, decay, scale, step);
  const ops::SgdStep sgd = sgd_step(options_, lr, decay, scale, step);
  for (int b = table_.first_block(parameter); b < table_.end_block(parameter); ++b) {
    if (!is_mine(b)) continue;
    const auto [index, begin, elements] = table_.blocks()[b];
    float* p = parameters + begin;
    const float* g = gradient(b);
    if (kind == ParameterKind::kStatistic) {
      move_statistics(p, g, elements, statistics_scale);
    } else if (options_.kind == Kind::kSgd) {
      ops::sgd(p, state_.empty() ? nullptr : state(0) + begin, g, elements, sgd);
    } else {
      ops::adam(p, state(0) + begin, state(1) + begin, g, elements, adam);
    }
  }
}

// You et al. 2020, algorithm 2, with phi(x) = x. As in the authors' code, what is spared from decay
// is spared from the trust ratio, and the ratio is 1 where one of the norms is 0.
void Optimizer::lamb_directions(float* parameters, int parameter, double scale, std::int64_t step,
                                const std::function<const float*(int block)>& gradient) {
  const Parameter& p = table_[parameter];
  const bool adapt = p.kind == ParameterKind::kWeight;
  const ops::AdamStep s = adam_step(options_, 0, adapt ? options_.decay : 0, scale, step);
  float* const update = lamb_update(p);
  for (int b = table_.first_block(parameter); b < table_.end_block(parameter); ++b) {
    if (!is_mine(b)) continue;
    const auto [index, begin, elements] = table_.blocks()[b];
    ops::lamb_direction(update + begin, parameters + begin, state(0) + begin, state(1) + begin,
                        gradient(b), elements, s);
    if (!adapt) continue;
    squares_[2 * b] = ops::sum_of_squares(parameters + begin, elements);
    squares_[2 * b + 1] = ops::sum_of_squares(update + begin, elements);
  }
}

void Optimizer::lamb_apply(float* parameters, int parameter, double lr) {
  const Parameter& p = table_[parameter];
  double ratio = 1;
  if (p.kind == ParameterKind::kWeight) {
    SiblingSum weight_squares, update_squares;
    for (int b = table_.first_block(parameter); b < table_.end_block(parameter); ++b) {
      weight_squares.push(squares_[2 * b]);
      update_squares.push(squares_[2 * b + 1]);
    }
    const double weights = std::sqrt(weight_squares.total());
    const double updates = std::sqrt(update_squares.total());
    if (weights > 0 && updates > 0) ratio = weights / updates;
  }
  const float* const update = lamb_update(p);
  for (int b = table_.first_block(parameter); b < table_.end_block(parameter); ++b) {
    if (!is_mine(b)) continue;
    const auto [index, begin, elements] = table_.blocks()[b];
    ops::axpy(parameters + begin, update + begin, static_cast<float>(-lr * ratio), elements);
  }
}

// Addressed like the flat buffer.
float* Optimizer::lamb_update(const Parameter& p) const {
  return update_.as<float>() - (mine_.empty() ? p.offset : 0);
}

}  // namespace lockstep::optim
