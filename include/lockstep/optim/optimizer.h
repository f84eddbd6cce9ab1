// Optimizers over the flat buffer, block by block, and learning-rate schedules. Never sees a rank;
// where the folded gradient of a block lies is handed in.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/core/parameter_table.h"
#include "lockstep/device/device.h"
#include "lockstep/ops/flat_math.h"

namespace lockstep::optim {

enum class Kind : std::uint8_t { kSgd, kAdam, kAdamW, kLamb };
enum class Schedule : std::uint8_t { kConstant, kStep, kLinear, kCosine, kInverseSqrt };
Kind kind_from(std::string_view name);  // throws UserError
Schedule schedule_from(std::string_view name);
std::string_view name_of(Kind kind);
std::string_view name_of(Schedule schedule);

struct Options {
  Kind kind = Kind::kAdamW;
  double lr = 1e-3, momentum = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0.01;
  bool nesterov = false;
  Schedule schedule = Schedule::kConstant;
  std::int64_t warmup = 0;       // steps, linear from lr/warmup
  std::int64_t total_steps = 0;  // linear and cosine end here
  std::int64_t step_every = 0;   // steps
  double step_factor = 0.1;
  double min_lr = 0;
  double clip = 0;  // global norm; 0: off
};

// The state tensors of an optimizer: none, {"momentum"}, {"m", "v"}.
std::vector<std::string> state_names(const Options& options);

// Learning rate of the given step (0-based).
double learning_rate(const Options& options, std::int64_t step);

// Norm of the folded gradient from its blocks' sums of squares: sibling tree over the blocks of a
// parameter, then over parameters in table order (NUMERICS.md 8). Statistics do not count.
double global_norm(const ParameterTable& table,
                   const std::function<double(int block)>& sum_of_squares);

class Optimizer {
 public:
  Optimizer(const ParameterTable& table, const Options& options, Device& device);
  // Of a rank that updates some blocks alone. mine: by block. share(values): LAMB's norms go over
  // whole parameters: values[2 b] and [2 b + 1] are sums of squares of this rank's blocks, and
  // everybody's when the call returns. Of the state only the rank's blocks are ever touched, and on
  // a device there are no others: it lies as runs() say. packed_parameters: those that step()
  // updates do so too.
  using Share = ops::FlatUpdate::Share;
  Optimizer(const ParameterTable& table, const Options& options, Device& device,
            std::vector<bool> mine, Share share, bool packed_parameters = false);
  // Null: state has the layout of the flat buffer.
  const std::vector<BlockRun>* runs() const { return packed_ ? &runs_ : nullptr; }
  // State tensors: none, {"momentum"}, {"m", "v"}.
  const std::vector<std::string>& state_names() const { return state_names_; }
  float* state(int i) const { return state_[i].as<float>(); }
  std::size_t state_bytes() const;  // of the blocks that are updated here

  // One step over all blocks. gradient(block): address of the folded sum; scale: 1 / valid count
  // times the clipping factor; statistics_scale: 1 / (lanes that contributed). updated(parameter),
  // if given, follows a parameter's last block, while the parameter is still in cache. On a device
  // the work is given to `stream`, and what updated() gives to it follows.
  void step(float* parameters, std::int64_t step, double scale, double statistics_scale,
            const std::function<const float*(int block)>& gradient,
            const std::function<void(int parameter)>& updated = {}, Stream* stream = nullptr);

 private:
  void step_on_device(const ops::FlatStep& flat, std::int64_t step, double scale,
                      const std::function<const float*(int block)>& gradient, Stream& stream);
  void step_parameter(float* parameters, int parameter, double lr, double scale,
                      double statistics_scale, std::int64_t step,
                      const std::function<const float*(int block)>& gradient);
  void lamb_directions(float* parameters, int parameter, double scale, std::int64_t step,
                       const std::function<const float*(int block)>& gradient);
  void lamb_apply(float* parameters, int parameter, double lr);
  void touch_mine(float* tensor) const;
  float* lamb_update(const Parameter& p) const;
  bool is_mine(int block) const { return mine_.empty() || mine_[block]; }
  const ParameterTable& table_;
  Options options_;
  std::vector<std::string> state_names_;
  std::vector<Buffer> state_;
  std::vector<bool> mine_;  // by block; empty: all
  const bool packed_;
  const bool packed_parameters_;
  std::vector<BlockRun> runs_;  // where packed_
  Share share_;
  Buffer update_;                                 // LAMB's direction, on the cpu
  std::vector<double> squares_;                   // LAMB: two for each block
  std::unique_ptr<ops::FlatUpdate> flat_update_;  // of a device with one
  std::vector<const float*> gradients_;           // for it: scratch of step()
};

}  // namespace lockstep::optim
