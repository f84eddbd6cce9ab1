#include "parallel/synchronous.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lockstep/comm/server_exchange.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "lockstep/core/fault.h"
#include "lockstep/ops/flat_math.h"
#include "lockstep/ops/tree_arithmetic.h"
#include "parallel/layouts.h"
#include "parallel/outcome.h"

namespace lockstep::parallel {
namespace {

std::string dealt_text(std::int64_t lanes, int ranks) {
  std::int64_t least = lanes, most = 0;
  for (const comm::LaneRange& r : comm::cut_lanes(lanes, ranks)) {
    least = std::min(least, r.size());
    most = std::max(most, r.size());
  }
  return least == most ? fmt::format("{} to each rank", least)
                       : fmt::format("{} to {} to a rank", least, most);
}

std::string moves_text(const Options& options, bool moves) {
  if (options.assignment == Assignment::kStatic) return "";
  if (!moves) return "; they stay there, for lack of shared memory";
  if (options.assignment == Assignment::kAdaptive)
    return "; dealt anew when the ranks' speeds have changed";
  return fmt::format("; dealt by a queue on each node, at most {} extra", options.extra);
}

}  // namespace

comm::FoldArithmetic host_arithmetic() {
  return {&ops::add, &ops::sum_of_squares, &ops::round_to_bf16};
}

Synchronous::Synchronous(comm::Communicator& communicator, Device& device, nn::Program& program,
                         const optim::Options& optimizer_options, const Options& options)
    : communicator_(communicator),
      device_(device),
      program_(program),
      table_(program.table()),
      optimizer_options_(optimizer_options),
      options_(options),
      buckets_(communicator, program, options.bucket_bytes),
      records_(options.lanes),
      ran_(options.streams),
      moves_lanes_(options.assignment != Assignment::kStatic),
      leaves_(options.lanes) {
  comm::FoldDevice fold_device;
  if (!device.is_host()) {
    arithmetic_ = ops::make_tree_arithmetic(device);
    fold_device = {&device, arithmetic_.get()};
  }
  const comm::FoldLayout layout = fold_layout(table_, buckets_, options, device.is_host());
  fold_ =
      options.kind == Kind::kServer
          ? comm::make_server_fold(communicator, layout, static_cast<int>(options.servers),
                                   host_arithmetic(), fold_device)
          : comm::make_fold(communicator, layout, host_arithmetic(), options.reduce, fold_device);
  for (int s = 0; s < options.streams; ++s) {
    sinks_.push_back(
        std::make_unique<GradientSink>(device, program, buckets_, *fold_, s, options.accumulate));
    ran_[s].reserve(options.lanes);
  }
}

std::vector<std::vector<comm::LaneRange>> Synchronous::home() const {
  std::vector<std::vector<comm::LaneRange>> lanes;
  for (int s = 0; s < options_.streams; ++s) lanes.push_back(fold_->home(s));
  return lanes;
}

void Synchronous::keep_lanes() {
  fold_->keep_lanes();
  moves_lanes_ = false;
}

void Synchronous::run_lane(int stream, std::int64_t step, std::int64_t lane, LaneRunner& runner) {
  records_[lane] = {};
  ran_[stream].push_back(lane);
  damage_gradient(stream, step, lane);
  for (std::int64_t micro = 0; micro < options_.accumulate; ++micro) {
    sinks_[stream]->begin(lane, micro);
    runner.run(
        {stream, step, first_lane_ + lane, micro, sinks_[stream].get(), &records_[lane].lane});
  }
}

void Synchronous::hand_over_records(int stream, Requests requests) {
  for (const std::int64_t lane : ran_[stream]) {
    records_[lane].stop_requests = requests.stop ? 1 : 0;
    records_[lane].save_requests = requests.save ? 1 : 0;
    fold_->set_record(lane, &records_[lane]);
  }
  ran_[stream].clear();
}

void Synchronous::run_lanes(std::int64_t step, LaneRunner& runner) {
  struct Job {
    std::int64_t step;
    LaneRunner& runner;
    Requests requests;
  } job{step, runner, runner.requests()};
  // Two pointers fit a std::function without an allocation.
  runner.on_streams([this, &job](int stream) {
    for (std::int64_t lane = fold_->next(stream); lane >= 0; lane = fold_->next(stream))
      run_lane(stream, job.step, lane, job.runner);
    while (stream == 0 && !program_.done(stream)) fold_->progress();
    program_.wait(stream);
    hand_over_records(stream, job.requests);
  });
}

StepRecord Synchronous::fold_records() {
  for (std::int64_t lane = 0; lane < options_.lanes; ++lane)
    leaves_[lane] = *static_cast<const StepRecord*>(fold_->record(lane));
  return fold_in_tree(leaves_);
}

// All ranks see the same records and block values, so they all find the same.
void Synchronous::find_non_finite(StepOutcome& outcome) const {
  for (std::int64_t lane = options_.lanes; lane-- > 0;) {
    const auto& record = *static_cast<const StepRecord*>(fold_->record(lane));
    if (!all_finite(record.lane)) outcome.bad_lane = static_cast<std::int32_t>(first_lane_ + lane);
  }
  const auto& blocks = table_.blocks();
  for (int b = static_cast<int>(blocks.size()); b-- > 0;) {
    if (!std::isfinite(fold_->block_value(b))) outcome.bad_parameter = blocks[b].parameter;
  }
}

bool Synchronous::accepted(std::int64_t step, StepOutcome& outcome) const {
  if (guard_ != nullptr) return outcome.applied = guard_->accept(step, outcome);
  if (outcome.finite()) return true;
  // People count steps from 1.
  throw DataError(
      "{} at step {}; nothing was applied. {}", what_is_not_finite(table_, outcome), step + 1,
      outcome.bad_lane >= 0 ? "Lower optimizer.lr, set optimizer.clip, or look at the data "
                              "(data.check_finite)"
                            : "Lower optimizer.lr or set optimizer.clip");
}

std::int64_t Synchronous::run(std::int64_t step, LaneRunner& runner,
                              std::span<StepOutcome> outcomes) {
  run_lanes(step, runner);
  events::Span span(events::Kind::kFold, "the fold", {.step = step + 1});
  fault::pass("fold", step + 1);
  // People count steps from 1, as the digests do.
  fold_->finish(step + 1);
  StepOutcome& outcome = outcomes.front();
  outcome = {};
  find_non_finite(outcome);
  outcome.total = fold_records();
  const double scale = judge(
      table_, optimizer_options_, step, [this](int block) { return fold_->block_value(block); },
      outcome);
  if (!accepted(step, outcome)) {
    fold_->release(program_.stream(0));
    return 1;
  }
  span.next(events::Kind::kUpdate, "the update", {.step = step + 1});
  update(step, scale, 1 / static_cast<double>(options_.lanes * options_.accumulate));
  damage_copy(step + 1);
  return 1;
}

void Synchronous::damage_gradient(int stream, std::int64_t step, std::int64_t lane) {
  bool flip = false;
  if (device_.is_host() && fault::damages("gradient", step + 1, flip, first_lane_ + lane))
    sinks_[stream]->damage(flip);
}

// Nobody else sees this but through what is computed with it.
void Synchronous::damage_copy(std::int64_t step) {
  bool flip = false;
  if (!fault::armed() || !device_.is_host() || !fault::damages("update", step, flip)) return;
  for (const StateTensor& tensor : copies()) {
    if (tensor.name != "parameters" || tensor.data == nullptr) continue;
    tensor.data[0] = fault::damaged(tensor.data[0], flip, 12);  // of the mantissa
    program_.pack();
  }
}

std::vector<std::pair<std::string, std::string>> Synchronous::settings() const {
  std::string reduce = "fold: the same bits on any number of ranks";
  if (options_.reduce == comm::ReduceKind::kMpi) reduce = "mpi: outside the contract on bits";
  if (!device_.is_host()) reduce += "; " + fold_->path();
  return {{"lanes", dealt_text(options_.lanes, communicator_.mesh().extent(comm::kDataAxis)) +
                        moves_text(options_, moves_lanes_)},
          {"strategy", name() + ", " + buckets_.text()},
          {"reduce", reduce}};
}

// "lanes: 5.1 2.9 on average by rank; 412 taken over".
std::vector<std::string> Synchronous::report() {
  if (options_.assignment == Assignment::kStatic) return {};
  const comm::LaneMoves mine = fold_->moves();
  const std::vector<std::byte> bytes = communicator_.gather_all(std::as_bytes(std::span(&mine, 1)));
  std::vector<comm::LaneMoves> all(bytes.size() / sizeof mine);
  std::memcpy(all.data(), bytes.data(), bytes.size());
  std::int64_t run = 0, taken = 0, deals = 0;
  for (const comm::LaneMoves& m : all) run += m.run, taken += m.taken;
  const comm::Topology& topology = communicator_.topology();
  for (int node = 0; node < topology.nodes(); ++node) deals += all[topology.node_begin[node]].deals;
  if (run == 0) return {};
  std::string line = "lanes:";
  for (const comm::LaneMoves& m : all) {
    line +=
        fmt::format(" {:.1f}", static_cast<double>(m.run) * static_cast<double>(options_.lanes) /
                                   static_cast<double>(run));
  }
  line += " on average by rank; ";
  line += options_.assignment == Assignment::kQueue ? fmt::format("{} taken over", taken)
                                                    : fmt::format("dealt anew {} times", deals);
  if (options_.assignment == Assignment::kAdaptive && topology.nodes() > 1)
    line += fmt::format(", between nodes {} times", all.front().node_deals);
  return {line};
}

std::vector<nn::LedgerRow> Synchronous::ledger() const {
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
