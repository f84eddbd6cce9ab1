#include "parallel/local.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lockstep/core/error.h"

namespace lockstep::parallel {
namespace {

// As PyTorch's SGD. The momentum begins as zeros, so that no step is the first.
ops::SgdStep outer_step(double lr, double momentum, std::int64_t replicas) {
  return {static_cast<float>(lr),
          static_cast<float>(momentum),
          0,
          static_cast<float>(1 / static_cast<double>(replicas)),
          momentum > 0,
          false};
}

}  // namespace

Local::Local(comm::Communicator& communicator, Device& device, nn::Program& program,
             const optim::Options& optimizer_options, const Options& options)
    : communicator_(communicator),
      table_(program.table()),
      optimizer_options_(optimizer_options),
      options_(options),
      replicas_(checked_replicas(options, communicator.size())),
      lanes_of_replica_(options.lanes / replicas_),
      dealt_(comm::cut_lanes(replicas_, communicator.size())),
      mine_(dealt_[communicator.topology().position]),
      self_(comm::make_self_communicator()),
      steps_(*self_, device, program, optimizer_options, options_within(options, lanes_of_replica_),
             static_cast<int>(mine_.size())),
      buckets_(communicator, program, options.bucket_bytes),
      fold_(comm::make_fold(
          communicator,
          meeting_layout(buckets_.layout(table_), options, replicas_, optimizer_options),
          host_arithmetic(), options.reduce)),
      average_(outer_step(1, 0, replicas_)),
      outer_(options.outer == OuterStep::kNesterov
                 ? outer_step(options.outer_lr, options.outer_momentum, replicas_)
                 : average_),
      told_(most_steps(options, optimizer_options)),
      leaves_(replicas_) {
  const std::size_t bytes = table_.flat_elements() * sizeof(float);
  global_ = device.allocate_on_host(bytes, "the parameters of the last meeting");
  if (options.outer == OuterStep::kNesterov)
    momentum_ = cpu_device().allocate(bytes, "momentum of the outer step");
  for (int position = 0; position < communicator.size(); ++position) {
    for (std::int64_t i = dealt_[position].begin; i < dealt_[position].end; ++i)
      holders_.emplace_back(table_.blocks().size(), position);
  }
}

std::vector<std::vector<comm::LaneRange>> Local::home() const {
  std::vector<std::vector<comm::LaneRange>> lanes = steps_.home();
  for (std::vector<comm::LaneRange>& of_stream : lanes) {
    const std::vector<comm::LaneRange> within = of_stream;
    of_stream.clear();
    for (std::int64_t i = mine_.begin; i < mine_.end; ++i) {
      const std::int64_t first = i * lanes_of_replica_;
      for (const comm::LaneRange& r : within) of_stream.push_back({first + r.begin, first + r.end});
    }
  }
  return lanes;
}

// Where meetings are is part of the numbers: at multiples of `every`, and at the run's last step.
std::int64_t Local::stretch(std::int64_t step, std::int64_t most) const {
  const std::int64_t total = optimizer_options_.total_steps;
  return std::min(options_.every - step % options_.every, total > 0 ? total - step : most);
}

std::int64_t Local::run(std::int64_t step, LaneRunner& runner, std::span<StepOutcome> outcomes) {
  const auto steps = static_cast<std::int64_t>(outcomes.size());
  for (std::int64_t i = fold_->next(0); i >= 0; i = fold_->next(0)) {
    std::fill(told_.begin(), told_.end(), ToldStep{});
    if (failure_.empty()) run_alone(i, step, runner, outcomes);
    hand_in_change(i);
    fold_->set_record(i, told_.data());
  }
  fold_->finish(step + steps);
  refuse_failures(steps);
  refuse_non_finite(step, steps);
  for (std::int64_t index = 0; index < steps; ++index)
    outcomes[index] = outcome(step + index, index);
  move_global();
  fold_->release();
  steps_.begin_from(global_.as<float>());
  return steps;
}

// outcomes: written over; they become the meeting's. After a failure a rank runs nothing more.
void Local::run_alone(std::int64_t replica, std::int64_t step, LaneRunner& runner,
                      std::span<StepOutcome> outcomes) {
  if (replica > mine_.begin) steps_.begin_from(global_.as<float>());
  steps_.take_up(static_cast<int>(replica - mine_.begin), replica * lanes_of_replica_);
  for (std::size_t index = 0; index < outcomes.size(); ++index) {
    const std::int64_t at = step + static_cast<std::int64_t>(index);
    try {
      steps_.run(at, runner, outcomes.subspan(index, 1));
      told_[index] = {outcomes[index].total, outcomes[index].gradient_norm, 0};
    } catch (const DataError& error) {  // said at the meeting, by all ranks
      failure_ = fmt::format("replica {}, alone since step {}: {}", replica, step, error.what());
      told_[index].failed = 1;
      return;
    }
  }
  // A request that came during the last step waits no whole stretch.
  const Requests requests = runner.requests();
  StepRecord& last = told_[outcomes.size() - 1].total;
  last.stop_requests += requests.stop ? 1 : 0;
  last.save_requests += requests.save ? 1 : 0;
}

// The change in the direction of a gradient: downhill is minus it.
void Local::hand_in_change(std::int64_t replica) {
  const float* const global = global_.as<float>();
  const float* const own = steps_.changed();
  for (int b = 0; b < buckets_.size(); ++b) {
    const comm::Range range = buckets_.buckets[b].range;
    float* const leaf = fold_->leaf(0, replica, b) - range.begin;
    for (std::int64_t e = range.begin; e < range.end; ++e) leaf[e] = global[e] - own[e];
    fold_->push(0, replica, b);
  }
}

const ToldStep& Local::told(std::int64_t replica, std::int64_t index) const {
  return static_cast<const ToldStep*>(fold_->record(replica))[index];
}

// All ranks throw the sentence of one failure: of the earliest step, then the lowest replica.
void Local::refuse_failures(std::int64_t steps) {
  for (std::int64_t index = 0; index < steps; ++index) {
    for (std::int64_t i = 0; i < replicas_; ++i) {
      if (told(i, index).failed == 0) continue;
      const comm::Topology& topology = communicator_.topology();
      const int position = holders_[i].front();
      const std::string mine = position == topology.position ? failure_ : "";
      throw DataError("{}", comm::broadcast_text(communicator_, mine, topology.rank_at[position]));
    }
  }
}

void Local::refuse_non_finite(std::int64_t step, std::int64_t steps) const {
  const auto& blocks = table_.blocks();
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    if (std::isfinite(fold_->block_value(static_cast<int>(b)))) continue;
    throw DataError(
        "the replicas' mean change of '{}' is not finite at the meeting after step {}; nothing "
        "since step {} was applied. Lower optimizer.lr or set optimizer.clip",
        table_[blocks[b].parameter].name, step + steps, step);
  }
}

StepOutcome Local::outcome(std::int64_t step, std::int64_t index) {
  double norms = 0;
  for (std::int64_t i = 0; i < replicas_; ++i) {
    leaves_[i] = told(i, index).total;
    norms += told(i, index).gradient_norm;
  }
  return {fold_in_tree(leaves_), norms / static_cast<double>(replicas_),
          optim::learning_rate(optimizer_options_, step)};
}

// Running statistics are averaged, whatever the outer step.
void Local::move_global() {
  const auto& blocks = table_.blocks();
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const auto [parameter, begin, elements] = blocks[b];
    const float* const sum = fold_->sum(static_cast<int>(b));
    float* const global = global_.as<float>() + begin;
    const bool averaged =
        momentum_.bytes() == 0 || table_[parameter].kind == ParameterKind::kStatistic;
    if (averaged) {
      ops::sgd(global, nullptr, sum, elements, average_);
    } else {
      ops::sgd(global, momentum_.as<float>() + begin, sum, elements, outer_);
    }
  }
}

std::vector<StateTensor> Local::state() {
  std::vector<StateTensor> tensors{{"parameters", global_.as<float>(), nullptr, true}};
  if (momentum_.bytes() > 0)
    tensors.push_back({"outer/momentum", momentum_.as<float>(), nullptr, true});
  const auto& names = steps_.optimizer(0).state_names();
  for (std::int64_t i = 0; i < replicas_; ++i) {
    const bool own = mine_.begin <= i && i < mine_.end;
    for (int t = 0; t < static_cast<int>(names.size()); ++t) {
      tensors.push_back(
          {fmt::format("replica-{}/optimizer/{}", i, names[t]),
           own ? steps_.optimizer(static_cast<int>(i - mine_.begin)).state(t) : nullptr,
           &holders_[i]});
    }
  }
  return tensors;
}

std::vector<std::pair<std::string, std::string>> Local::settings() const {
  const auto [least, most] =
      std::minmax_element(dealt_.begin(), dealt_.end(),
                          [](const auto& a, const auto& b) { return a.size() < b.size(); });
  const bool fold = options_.reduce == comm::ReduceKind::kFold;
  const bool nesterov = options_.outer == OuterStep::kNesterov;
  return {
      {"lanes", fmt::format("{} to each replica, {} replicas to a rank", lanes_of_replica_,
                            least->size() == most->size()
                                ? fmt::format("{}", most->size())
                                : fmt::format("{} to {}", least->size(), most->size()))},
      {"strategy", fmt::format("local, {} replica{}, meet every {} steps, {}", replicas_,
                               replicas_ == 1 ? "" : "s", options_.every,
                               nesterov ? fmt::format("nesterov, outer lr {}, momentum {}",
                                                      options_.outer_lr, options_.outer_momentum)
                                        : "average")},
      {"reduce",
       fold ? "fold: the same bits on any number of ranks" : "mpi: outside the contract on bits"}};
}

std::vector<nn::LedgerRow> Local::ledger() const {
  std::vector<nn::LedgerRow> rows = steps_.ledger();
  rows.push_back({"parameters of the last meeting", global_.bytes(), "what all begin from", true});
  if (momentum_.bytes() > 0)
    rows.push_back({"outer momentum", momentum_.bytes(), "of the mean change", true});
  rows.push_back({"meeting windows", fold_->window_bytes(),
                  "partial sums of the replicas' changes, shared on the node", true});
  rows.push_back(
      {"meeting buffers", fold_->private_bytes(), "a bucket in the making, messages", true});
  return rows;
}

}  // namespace lockstep::parallel
