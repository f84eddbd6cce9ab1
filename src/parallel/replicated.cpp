#include "lockstep/parallel/replicated.h"

#include <algorithm>
#include <cmath>

#include "lockstep/core/error.h"
#include "lockstep/ops/flat_math.h"
#include "lockstep/ops/tree_arithmetic.h"

namespace lockstep::parallel {
namespace {

StepRecord add(const StepRecord& a, const StepRecord& b) {
  return {ops::add(a.lane, b.lane), a.stop_requests + b.stop_requests,
          a.save_requests + b.save_requests};
}

bool all_finite(const ops::LaneRecord& record) {
  return std::all_of(record.sums.begin(), record.sums.end(),
                     [](double x) { return std::isfinite(x); });
}

}  // namespace

// Leads one stream's gradients to the fold. With accumulation the lane's microbatches are summed in
// order in a buffer of their own, and only the whole leaf is pushed (NUMERICS.md 10). A bucket's
// memory does not depend on when it is asked for, so that a pass can be captured.
class Replicated::Sink : public nn::GradientSink {
 public:
  Sink(Replicated& owner, int stream) : owner_(owner), stream_(stream) {
    if (owner.options_.accumulate == 1) return;
    std::int64_t largest = 0;
    for (const Bucket& b : owner.buckets_) largest = std::max(largest, b.range.size());
    sum_ = owner.device_.allocate(
        static_cast<std::size_t>(owner.table_.flat_elements()) * sizeof(float),
        "the sum over accumulated microbatches");
    addend_ = owner.device_.allocate(static_cast<std::size_t>(largest) * sizeof(float),
                                     "a bucket of gradients");
  }

  void begin(std::int64_t lane, std::int64_t micro) {
    lane_ = lane;
    micro_ = micro;
    bucket_ = -1;
    if (last_micro()) owner_.fold_->open(stream_, owner_.program_.stream(stream_));
  }

  float* address(int parameter) override {
    enter(owner_.bucket_of_[parameter]);
    return base_ + (owner_.table_[parameter].offset - owner_.buckets_[bucket_].range.begin);
  }

  void written(int first, int /*end*/, Stream& stream) override {
    const int bucket = owner_.bucket_of_[first];
    if (owner_.buckets_[bucket].first != first) return;
    const comm::Range range = owner_.buckets_[bucket].range;
    if (micro_ > 0) {
      float* const sum = sum_.as<float>() + range.begin;
      float* const addend = last_micro() ? leaf(bucket) : addend_.as<float>();
      ops::add(owner_.device_, last_micro() ? addend : sum, sum, addend, range.size(), stream);
    }
    if (last_micro()) owner_.fold_->mark(stream_, bucket, stream);
  }

  void complete(int first, int /*end*/) override {
    const int bucket = owner_.bucket_of_[first];
    if (last_micro() && owner_.buckets_[bucket].first == first)
      owner_.fold_->push(stream_, lane_, bucket);
  }

  std::size_t bytes() const { return sum_.bytes() + addend_.bytes(); }

 private:
  bool last_micro() const { return micro_ + 1 == owner_.options_.accumulate; }
  float* leaf(int bucket) const { return owner_.fold_->leaf(stream_, lane_, bucket); }

  void enter(int bucket) {
    if (bucket == bucket_) return;
    bucket_ = bucket;
    if (last_micro()) {
      base_ = leaf(bucket);
    } else if (micro_ == 0) {
      base_ = sum_.as<float>() + owner_.buckets_[bucket].range.begin;
    } else {
      base_ = addend_.as<float>();
    }
  }

  Replicated& owner_;
  const int stream_;
  std::int64_t lane_ = 0, micro_ = 0;
  int bucket_ = -1;
  float* base_ = nullptr;
  Buffer sum_, addend_;
};

Replicated::Replicated(comm::Communicator& communicator, Device& device, nn::Program& program,
                       float* parameters, optim::Optimizer& optimizer,
                       const optim::Options& optimizer_options, const Options& options)
    : device_(device),
      program_(program),
      table_(program.table()),
      parameters_(parameters),
      optimizer_(optimizer),
      optimizer_options_(optimizer_options),
      options_(options),
      buckets_(make_buckets(table_, program.runs(), options.bucket_bytes)),
      bucket_of_(table_.size()),
      leaves_(options.lanes) {
  comm::FoldLayout layout;
  layout.lanes = options.lanes;
  layout.streams = options.streams;
  layout.flat_elements = table_.flat_elements();
  layout.record_bytes = sizeof(StepRecord);
  // A sink pushes a bucket before it enters the next; where passes are captured, the addresses of
  // all come first.
  layout.open_buckets = device.is_host() ? 1 : static_cast<int>(buckets_.size());
  for (std::size_t b = 0; b < buckets_.size(); ++b) {
    layout.buckets.push_back(buckets_[b].range);
    std::fill(bucket_of_.begin() + buckets_[b].first, bucket_of_.begin() + buckets_[b].end,
              static_cast<int>(b));
  }
  for (const Block& block : table_.blocks())
    layout.blocks.push_back({block.begin, block.begin + block.elements});
  comm::FoldDevice fold_device;
  if (!device.is_host()) {
    arithmetic_ = ops::make_tree_arithmetic(device);
    fold_device = {&device, arithmetic_.get()};
  }
  fold_ = comm::make_fold(communicator, layout, {&ops::add, &ops::sum_of_squares}, options.reduce,
                          fold_device);
  for (int s = 0; s < options.streams; ++s) sinks_.push_back(std::make_unique<Sink>(*this, s));
}

Replicated::~Replicated() = default;

comm::LaneRange Replicated::lanes(int stream) const { return fold_->lanes(stream); }

nn::GradientSink& Replicated::begin(int stream, std::int64_t lane, std::int64_t micro) {
  sinks_[stream]->begin(lane, micro);
  return *sinks_[stream];
}

void Replicated::set_record(std::int64_t lane, const StepRecord& record) {
  fold_->set_record(lane, &record);
}

StepRecord fold_in_tree(std::span<StepRecord> leaves) {
  const std::size_t lanes = leaves.size();
  for (std::size_t width = 1; width < lanes; width *= 2) {
    for (std::size_t i = 0; i + width < lanes; i += 2 * width)
      leaves[i] = add(leaves[i], leaves[i + width]);
  }
  return leaves[0];
}

StepRecord Replicated::fold_records() {
  for (std::int64_t lane = 0; lane < options_.lanes; ++lane)
    leaves_[lane] = *static_cast<const StepRecord*>(fold_->record(lane));
  return fold_in_tree(leaves_);
}

// All ranks see the same records and block values, so they all throw, or none.
void Replicated::refuse_non_finite(std::int64_t step) const {
  for (std::int64_t lane = 0; lane < options_.lanes; ++lane) {
    const auto& record = *static_cast<const StepRecord*>(fold_->record(lane));
    if (!all_finite(record.lane))
      throw DataError(
          "the loss of lane {} is not finite at step {}; nothing was applied. Lower "
          "optimizer.lr, set optimizer.clip, or look at the data (data.check_finite)",
          lane, step);
  }
  const auto& blocks = table_.blocks();
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    if (!std::isfinite(fold_->block_value(static_cast<int>(b))))
      throw DataError(
          "the gradient of '{}' is not finite at step {}; nothing was applied. Lower "
          "optimizer.lr or set optimizer.clip",
          table_[blocks[b].parameter].name, step);
  }
}

StepOutcome Replicated::finish(std::int64_t step) {
  // People count steps from 1, as the digests do.
  fold_->finish(step + 1);
  refuse_non_finite(step + 1);
  StepOutcome outcome;
  outcome.total = fold_records();
  const auto valid = static_cast<double>(std::max<std::int64_t>(1, outcome.total.lane.counts[0]));
  outcome.gradient_norm =
      optim::global_norm(table_, [this](int block) { return fold_->block_value(block); }) / valid;
  outcome.learning_rate = optim::learning_rate(optimizer_options_, step);
  double scale = 1 / valid;
  // As PyTorch's clip_grad_norm_: the 1e-6 guards the division.
  if (optimizer_options_.clip > 0)
    scale *= std::min(1.0, optimizer_options_.clip / (outcome.gradient_norm + 1e-6));
  update(step, scale);
  return outcome;
}

void Replicated::update(std::int64_t step, double scale) {
  const double leaves = static_cast<double>(options_.lanes * options_.accumulate);
  const auto sum = [this](int block) { return fold_->sum(block); };
  Stream& stream = program_.stream(0);
  if (device_.is_host()) {  // parameter by parameter: what is packed is still in cache
    optimizer_.step(
        parameters_, step, scale, 1 / leaves, sum,
        [this](int parameter) { program_.pack(parameter); }, &stream);
  } else {
    optimizer_.step(parameters_, step, scale, 1 / leaves, sum, {}, &stream);
    program_.pack();
  }
  fold_->release(stream);
}

std::vector<nn::LedgerRow> Replicated::ledger() const {
  std::size_t sinks = 0;
  for (const auto& sink : sinks_) sinks += sink->bytes();
  std::vector<nn::LedgerRow> rows{{"gradient windows", fold_->window_bytes(),
                                   "partial sums of the lanes, shared on the node", true},
                                  {"fold buffers", fold_->private_bytes(),
                                   "a bucket in the making, messages between nodes", true}};
  if (fold_->device_bytes() > 0)
    rows.push_back({"gradients", fold_->device_bytes(), "leaves, partial sums and sums"});
  if (sinks > 0) rows.push_back({"accumulation", sinks, "sum over microbatches of a lane"});
  return rows;
}

}  // namespace lockstep::parallel
