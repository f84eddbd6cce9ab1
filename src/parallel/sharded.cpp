#include "parallel/sharded.h"

#include <algorithm>

#include "lockstep/core/error.h"
#include "parallel/layouts.h"
#include "parallel/replicated.h"
#include "parallel/sharded_source.h"

namespace lockstep::parallel {
// Parameters of a use, as the node's shared memory has them.
class Sharded::Source final : public nn::ParameterSource {
 public:
  explicit Source(comm::SharedFlat& flat) : flat_(flat) {}
  void begin_pass(int uses) override { flat_.begin_pass(uses); }
  void hold(int use, const float** addresses, Stream&) override { flat_.hold(use, addresses); }
  void release(int use, Stream&) override { flat_.release(use); }

 private:
  comm::SharedFlat& flat_;
};

Sharded::Sharded(comm::Communicator& communicator, Device& device, nn::Program& program,
                 const optim::Options& optimizer_options, const Options& options)
    : Synchronous(communicator, device, program, optimizer_options, options),
      held_(options.stage == 3),
      flat_(comm::make_shared_flat(communicator, flat_layout(program, buckets_, options))),
      group_lanes_(options.streams) {
  const comm::Shards& shards = flat_->shards();
  if (optimizer_options.kind == optim::Kind::kLamb)
    norms_ = comm::make_shard_values(communicator, shards, 2);
  optimizer_ = std::make_unique<optim::Optimizer>(
      table_, optimizer_options_, device, shards.owned_by(communicator.topology().position),
      [this](std::span<double> squares) { share_norms(squares, step_); }, held_);
  group_.reserve(options.streams);
  idle_addresses_.resize(table_.size());
  if (!device.is_host()) {
    on_device_ = std::make_unique<ShardedDevice>(device, program, buckets_, *flat_, *fold_,
                                                 communicator.topology().position,
                                                 held_ ? optimizer_->runs() : nullptr);
  }
  if (!held_) {
    program.bind(on_device_ ? on_device_->data() : flat_->flat());
    return;
  }
  if (on_device_) {
    source_ = std::make_unique<ShardedSource>(device, program, *flat_, *on_device_);
  } else {
    source_ = std::make_unique<Source>(*flat_);
  }
  program.bind(*source_);
}

Sharded::~Sharded() = default;

std::string Sharded::name() const { return fmt::format("sharded, stage {}", options_.stage); }

std::vector<StateTensor> Sharded::state() {
  std::vector<StateTensor> tensors{{"parameters", flat_->flat()}};
  tensors.back().on_host = true;
  append_state(tensors, *optimizer_);
  for (StateTensor& tensor : tensors) tensor.holders = &flat_->shards().owners();
  return tensors;
}

// Ranks of a node share one; on a device each has its own.
std::vector<StateTensor> Sharded::copies() {
  if (held_) return {};
  if (on_device_) return {{"parameters", on_device_->data()}};
  const bool first = communicator_.topology().local() == 0;
  std::vector<StateTensor> tensors{{"parameters", first ? flat_->flat() : nullptr}};
  tensors.back().on_host = true;
  return tensors;
}

void Sharded::run_lanes(std::int64_t step, LaneRunner& runner) {
  if (!held_) return Synchronous::run_lanes(step, runner);
  const std::int64_t each = options_.streams * static_cast<std::int64_t>(communicator_.size());
  const Requests requests = runner.requests();
  for (std::int64_t turn = 0; turn * each < options_.lanes; ++turn) run_group(step, runner);
  for (int s = 0; s < options_.streams; ++s) {
    while (!program_.done(s)) {
      fold_->progress();
      flat_->progress();
    }
    program_.wait(s);
    hand_over_records(s, requests);
  }
}

// One lane of each stream goes through the layers together; ranks for which none is left bring
// layers to the others.
void Sharded::run_group(std::int64_t step, LaneRunner& runner) {
  for (int s = 0; s < options_.streams; ++s) {
    group_lanes_[s] = fold_->next(s);
    if (group_lanes_[s] < 0) continue;
    records_[group_lanes_[s]] = {};
    ran_[s].push_back(group_lanes_[s]);
    damage_gradient(s, step, group_lanes_[s]);
  }
  for (std::int64_t micro = 0; micro < options_.accumulate; ++micro) {
    group_.clear();
    for (int s = 0; s < options_.streams; ++s) {
      const std::int64_t lane = group_lanes_[s];
      if (lane < 0) continue;
      sinks_[s]->begin(lane, micro);
      group_.push_back({s, step, lane, micro, sinks_[s].get(), &records_[lane].lane});
    }
    if (group_.empty()) {
      idle_pass(static_cast<int>(program_.uses().size()));
    } else {
      runner.run_together(group_);
    }
  }
}

void Sharded::idle_pass(int uses) {
  flat_->begin_pass(uses);
  for (int use = 0; use < uses; ++use) {
    flat_->hold(use, idle_addresses_.data());
    flat_->release(use);
  }
}

void Sharded::update(std::int64_t step, double scale, double statistics_scale) {
  step_ = step + 1;
  Stream& stream = program_.stream(0);
  optimizer_->step(
      on_device_ ? on_device_->data() : flat_->flat(), step, scale, statistics_scale,
      [this](int block) { return fold_->sum(block); }, {}, &stream);
  fold_->release(stream);
  on_device_ ? on_device_->bring_updated(step_) : bring_parameters(step_);
}

void Sharded::restored() { on_device_ ? on_device_->bring_restored() : bring_parameters(0); }

void Sharded::bring_parameters(std::int64_t step) {
  for (int b = 0; b < buckets_.size(); ++b) flat_->publish(b, step);
  for (int b = 0; b < buckets_.size(); ++b) {
    flat_->await(b, step);
    if (held_) continue;
    const Bucket& bucket = buckets_.buckets[b];
    for (int p = bucket.first; p < bucket.end; ++p) program_.pack(p);
  }
}

void Sharded::share_norms(std::span<double> squares, std::int64_t step) {
  const int blocks = static_cast<int>(table_.blocks().size());
  const int me = communicator_.topology().position;
  for (int b = 0; b < blocks; ++b) {
    if (flat_->shards().owner(b) == me) std::copy_n(&squares[2 * b], 2, norms_->of(b).begin());
  }
  norms_->share(step);
  for (int b = 0; b < blocks; ++b) std::copy_n(norms_->of(b).begin(), 2, &squares[2 * b]);
}

const comm::FoldCounters& Sharded::counters() const {
  counters_ = fold_->counters();
  const comm::FlatCounters& flat = flat_->counters();
  counters_.bytes_sent += flat.bytes_sent + (norms_ ? norms_->bytes_sent() : 0);
  counters_.wait.exposed += flat.wait.exposed;
  counters_.wait.hidden += flat.wait.hidden;
  return counters_;
}

std::vector<nn::LedgerRow> Sharded::ledger() const {
  std::vector<nn::LedgerRow> rows;
  if (on_device_) {
    rows.push_back({"parameters", on_device_->bytes(),
                    held_ ? "this rank's shard, fp32" : "fp32, running statistics included"});
  }
  rows.push_back({on_device_ ? "parameters on the host" : "parameters", flat_->resident_bytes(),
                  held_ ? "this rank's shard, fp32" : "this rank's share of the node's copy, fp32",
                  true});
  rows.push_back({"optimizer state", optimizer_->state_bytes(),
                  fmt::format("{}, this rank's shard", name_of(optimizer_options_.kind))});
  if (held_ && on_device_) {
    rows.push_back({"parameters in use", static_cast<const ShardedSource&>(*source_).bytes(),
                    "of two uses, on the device"});
  }
  if (flat_->gathered_bytes() > 0)
    rows.push_back({"gathered parameters", flat_->gathered_bytes(),
                    "of two uses, from other nodes, shared on the node", true});
  for (nn::LedgerRow& row : Synchronous::ledger()) rows.push_back(std::move(row));
  return rows;
}

}  // namespace lockstep::parallel
