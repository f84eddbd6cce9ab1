#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "lockstep/core/clock.h"
#include "lockstep/core/events.h"
#include "lockstep/core/log.h"
#include "lockstep/ops/algorithms.h"
#include "lockstep/train/environment.h"
#include "train/algorithm_choice.h"
#include "train/event_rings.h"
#include "train/precision.h"
#include "train/timeline_ops.h"
#include "train/trace_file.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

bool higher_is_better(const std::string& monitor) {
  return monitor != "loss" && monitor != "mae" && monitor != "perplexity";
}

NamedValues metric_values(const Evaluation& e) { return {e.metrics.begin(), e.metrics.end()}; }

// Of what the run goes on from, if it goes on.
std::unique_ptr<RankDevice> ready_device(comm::Communicator& communicator, const Run& run,
                                         const TrainRequest& request) {
  auto device = std::make_unique<RankDevice>(communicator, run, Computing::kTrainingRanks);
  const fs::path dir = run.checkpoint.dir;
  std::optional<fs::path> newest;
  communicator.together([&] {
    if (request.resume && !dir.empty() && communicator.rank() == 0) newest = newest_checkpoint(dir);
  });
  recall_algorithms(communicator, *device, newest);
  return device;
}

std::unique_ptr<MlperfLog> open_mlperf_log(comm::Communicator& communicator, const Run& run,
                                           const TrainRequest& request) {
  if (run.log.mlperf.empty() || request.check_only) return nullptr;
  return std::make_unique<MlperfLog>(communicator, run, request.resume);
}

}  // namespace

Trainer::Trainer(comm::Communicator& communicator, const Run& run, const TrainRequest& request)
    : communicator_(communicator),
      run_(run),
      request_(request),
      device_(ready_device(communicator, run, request)),
      mlperf_(open_mlperf_log(communicator, run, request)),
      session_(communicator, device_->get(), run),
      passes_(session_.model.program, *session_.loader, session_.model.streams, run.train.seed,
              run.train.accumulate),
      stopping_(communicator, run),
      step_policy_(run, session_.model.program.table()),
      replicas_(communicator, device_->get(), session_.model.program.stream(0),
                session_.model.program.table(), *session_.strategy, run.run.check_replicas) {
  step_policy_.attach(*session_.strategy);
  step_policy_.before_stop([this] { complete_save(); });
  replicas_.before_stop([this] { complete_save(); });
  if (saves())
    saver_ = std::make_unique<Saver>(communicator, run.checkpoint, session_.layout());
  const data::Split* split = validation_split(run, session_.model.manifest);
  if (split == nullptr) return;
  check_split(session_.model.task, session_.model.manifest, *split);
  validation_ = data::make_row_reader(session_.model.manifest,
                                      loader_options(run, session_.model.task, run.data.val));
}

ExitCode Trainer::train() {
  const std::string mixed = check_same_environment(communicator_, environment(), run_.run.mixed);
  if (!mixed.empty()) log::warn("the run is outside of the contract on bits: {}", mixed);
  warn_of_precision(run_, device_->get());
  device_->warn_of_sharing();
  first_values();
  if (!saves() && (request_.resume || request_.overwrite))
    throw UserError("--{} needs a folder: set checkpoint.dir in the run file",
                    request_.resume ? "resume" : "overwrite");
  if (saves() && !request_.check_only) open_folder();
  if (!saves() && !request_.check_only && !request_.trace.empty())
    open_event_rings(communicator_, trace_rings(request_.trace),
                     trace_rings(request_.trace).string() + "-before");
  start_loader();
  say_settings();
  if (request_.check_only) return ExitCode::kDone;
  start_clock();
  stop_agreed_ = !finished() && stopping_.asked_before_start();
  while (!finished()) run_stretch();
  finish();
  const ExitCode code = stop_agreed_ ? ExitCode::kStopped : ExitCode::kDone;
  for (const auto& observer : observers_) observer->finished(step_, code);
  return code;
}

Environment Trainer::environment() const {
  const ops::Precision precision = session_.model.program.options().precision;
  EnvironmentInputs inputs{run_.run.threads, "cpu", std::string(name_of(precision)),
                           request_.libraries};
  if (device_->run_is_cuda()) {
    inputs.device = "cuda";
    inputs.gpu = device_->gpu();
    inputs.precision = name_of(precision_on_cuda(run_, device_->capability()));
    inputs.algorithms = ops::algorithms().to_text();
  }
  return local_environment(inputs);
}

void Trainer::start_loader() {
  std::vector<comm::LaneRange> lanes;
  for (const auto& of_stream : session_.strategy->home())
    lanes.insert(lanes.end(), of_stream.begin(), of_stream.end());
  parallel::Strategy& strategy = *session_.strategy;
  session_.loader->start(
      lanes, at_, strategy.moves_lanes(),
      parallel::lane_places(communicator_.topology(), parallel_options(run_)));
  if (strategy.moves_lanes() && !session_.loader->lanes_move()) strategy.keep_lanes();
  if (run_.parallel.options.assignment == parallel::Assignment::kAdaptive &&
      run_.data.shuffle == data::Shuffle::kFull && communicator_.topology().nodes() > 1)
    log::warn(
        "with data.shuffle = \"full\" lanes are dealt inside their nodes, not between them; where "
        "nodes differ in speed, use data.shuffle = \"window\"");
}

void Trainer::start_clock() {
  session_.restored();
  line_ = std::make_unique<ProgressLine>(ProgressOptions{log::quiet() || !log::speaks(),
                                                         run_.log.every, run_.train.batch,
                                                         session_.model.task.sequence});
  if (saver_) ready_to_save();
  started_ = seconds_now();
  first_step_ = step_;
  watch();
}

void Trainer::watch() {
  observers_ = make_observers(observed());
  if (mlperf_) {
    const data::Split* const split = session_.model.manifest.find(run_.data.train);
    const bool stages = run_.data.cache.kind == data::Cache::kMemory;
    mlperf_->ready({.train_samples = split == nullptr ? 0 : split->samples,
                    .eval_samples = validation_ ? validation_->samples() : 0,
                    .total_steps = session_.total_steps,
                    .steps_per_epoch = session_.loader->steps_per_epoch(),
                    .staging_began = stages ? session_.loader_began : 0,
                    .staging_ended = stages ? session_.loader_ended : 0});
    observers_.push_back(std::move(mlperf_));
  }
  if (!request_.trace.empty()) {
    events::set_note(ops_note(session_.model.program, run_.train.accumulate, run_.run.device));
    observers_.push_back(make_trace_file(observed(), request_.trace));
  }
  for (const auto& observer : observers_) observer->begun(step_);
}

bool Trainer::finished() const {
  const bool reached = request_.stop_after > 0 && step_ >= request_.stop_after;
  return stop_agreed_ || stopped_early_ || reached || step_ >= session_.total_steps;
}

// Signals and clocks are one rank's own; the step's small message makes them everybody's.
parallel::Requests Trainer::requests() {
  const bool by_time = communicator_.rank() == 0 && saver_ && saver_->due_by_time();
  return {stopping_.asked(), by_time};
}

// To the end of the epoch, where there may be an evaluation, or to a checkpoint before it.
std::int64_t Trainer::steps_to_due() const {
  const std::int64_t to_epoch_end = session_.loader->steps_per_epoch() - at_.step;
  std::int64_t steps = 1;
  while (steps < to_epoch_end && !(saver_ && saver_->due_by_count(step_ + steps, 0))) ++steps;
  return steps;
}

// The steps until all ranks hold the same numbers again.
void Trainer::run_stretch() {
  communicator_.set_activity("training step", step_ + 1);
  const events::Span span(events::Kind::kStep, "training step");
  stopping_.begin_stretch([this] { line_->clear(); });
  const double start = seconds_now();
  std::int64_t most = session_.total_steps - step_;
  if (request_.stop_after > 0) most = std::min(most, request_.stop_after - step_);
  if (session_.strategy->ends_anywhere()) most = std::min(most, steps_to_due());
  outcomes_.resize(static_cast<std::size_t>(session_.strategy->stretch(step_, most)));
  {
    const events::Detail going_on(events::Kind::kData, "going on in the data");
    session_.deal_lanes(at_);
    session_.loader->advance(at_);
  }
  passes_.begin(step_, at_, [this] { return requests(); });
  const std::int64_t done = session_.strategy->run(step_, passes_, outcomes_);
  const double seconds = seconds_now() - start;
  step_seconds_ += seconds;
  const events::Detail telling(events::Kind::kReport, "telling of the step");
  const parallel::StepOutcome* last = done > 0 ? &outcomes_[done - 1] : nullptr;
  for (const auto& observer : observers_) observer->ended({step_ + done, done, seconds, last});
  if (saver_) tell_saved(saver_->stretch_ended(done, seconds));
  if (step_policy_.wants_rollback()) return roll_back();
  replicas_.ended(step_, step_ + done);
  for (std::int64_t i = 0; i < done; ++i) after_step(outcomes_[i], i + 1 == done);
}

void Trainer::after_step(const parallel::StepOutcome& outcome, bool last_of_stretch) {
  const nn::ProgramOptions& options = session_.model.program.options();
  const Evaluation mean = summarise(options, outcome.total.lane);
  tell_verdict(outcome);
  ++step_;
  ++at_.step;
  const bool epoch_ends = at_.step == session_.loader->steps_per_epoch();
  line_->step({at_.epoch + 1, run_.train.steps > 0 ? 0 : run_.train.epochs, step_,
               session_.total_steps, at_.step, session_.loader->steps_per_epoch(), mean.loss,
               outcome.learning_rate});
  if (outcome.applied)
    window_.add(mean.loss, metric_values(mean), outcome.learning_rate, outcome.gradient_norm);
  else
    window_.leave_out(outcome.learning_rate);
  if (window_.steps() == run_.log.window) close_window();
  if (epoch_ends) at_ = {at_.epoch + 1, 0};
  const bool last = step_ >= session_.total_steps;
  // What is due within a stretch is done at its end.
  due_.evaluation |=
      epoch_ends && run_.train.evaluate_every > 0 && at_.epoch % run_.train.evaluate_every == 0;
  due_.stop |= outcome.total.stop_requests > 0;
  due_.counted |= saver_ && saver_->due_by_count(step_, epoch_ends ? at_.epoch : 0);
  due_.save |= outcome.total.save_requests > 0 || due_.counted;
  if (!last_of_stretch) return;
  const Due due = std::exchange(due_, {});
  if (validation_ && (due.evaluation || last)) evaluate_and_judge();
  stop_agreed_ = due.stop && !last;
  if (due.counted || best_is_new_) step_policy_.saved(step_);
  if (saves() && (due.save || best_is_new_)) save();
}

void Trainer::close_window() {
  const std::int64_t epoch = at_.epoch + 1;
  const WindowRecord record = window_.close(step_, epoch);
  if (log_) log_->write(record, {seconds_now() - started_, line_->samples_per_second()});
}

// Early stopping: the best value of train.monitor so far, and how many evaluations since it.
void Trainer::evaluate_and_judge() {
  line_->pause();
  communicator_.set_activity("evaluation", step_);
  const events::Span span(events::Kind::kEvaluation, "evaluation");
  for (const auto& observer : observers_) observer->evaluating(step_);
  const Evaluation result = evaluate(communicator_, session_.model.program, session_.model.streams,
                                     *validation_, run_.train.lanes, session_.strategy.get());
  const double value = result.value(run_.train.monitor);
  const double gain = higher_is_better(run_.train.monitor) ? value - best_ : best_ - value;
  best_is_new_ = !has_best_ || gain > run_.train.min_delta;
  if (best_is_new_) {
    best_ = value;
    has_best_ = true;
    bad_evaluations_ = 0;
  } else {
    ++bad_evaluations_;
  }
  stopped_early_ = run_.train.patience > 0 && bad_evaluations_ >= run_.train.patience;
  line_->clear();
  const std::int64_t epoch = at_.step == 0 ? at_.epoch : at_.epoch + 1;
  log::info("epoch {}, step {}: {} {}{}", epoch,
            step_, run_.data.val, values_text(result), best_is_new_ ? " (best)" : "");
  if (stopped_early_)
    log::info("stopped early: {} has not improved for {} evaluations", run_.train.monitor,
              bad_evaluations_);
  const EvaluationRecord record{step_,
                                epoch,
                                run_.data.val,
                                result.loss,
                                metric_values(result),
                                best_is_new_};
  if (log_) log_->write(record, {seconds_now() - started_, line_->samples_per_second()});
  for (const auto& observer : observers_) observer->evaluated(record);
  line_->resume();
}

ExitCode run_training(comm::Communicator& communicator, const Run& run,
                      const TrainRequest& request) {
  if (!request.trace.empty() && !request.check_only)
    check_trace_file(communicator, request.trace);
  return Trainer(communicator, run, request).train();
}

}  // namespace lockstep::train
