#include "train/trainer.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "lockstep/core/clock.h"
#include "lockstep/core/log.h"
#include "lockstep/core/units.h"
#include "lockstep/ops/algorithms.h"
#include "lockstep/train/environment.h"
#include "lockstep/train/signals.h"
#include "train/algorithm_choice.h"
#include "train/precision.h"
#include "train/resume_check.h"
#include "train/start_report.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

bool higher_is_better(const std::string& monitor) {
  return monitor != "loss" && monitor != "mae" && monitor != "perplexity";
}

void make_folder(const fs::path& dir) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error)
    throw UserError(
        "cannot make the folder checkpoint.dir = \"{}\": {}; name a folder that can be written",
        dir.string(), error.message());
  if (::access(dir.c_str(), W_OK | X_OK) != 0)
    throw UserError(
        "cannot write to checkpoint.dir = \"{}\": {}; name a folder that can be written",
        dir.string(), std::strerror(errno));
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

}  // namespace

Trainer::Trainer(comm::Communicator& communicator, const Run& run, const TrainRequest& request)
    : communicator_(communicator),
      run_(run),
      request_(request),
      device_(ready_device(communicator, run, request)),
      session_(communicator, device_->get(), run),
      passes_(session_.model.program, *session_.loader, session_.model.streams, run.train.seed,
              run.train.accumulate),
      policy_(run.checkpoint.every) {
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
  start_loader();
  say_settings();
  if (request_.check_only) return ExitCode::kDone;
  start_clock();
  while (!finished()) run_stretch();
  finish();
  const ExitCode code = stop_agreed_ ? ExitCode::kStopped : ExitCode::kDone;
  for (const auto& observer : observers_) observer->finished(step_, code);
  return code;
}

void Trainer::say_settings() const {
  const auto rows = ledger_rows(session_.ledger(), device_->is_cuda());
  const std::uint64_t node_bytes = node_total(communicator_, total_bytes(rows));
  if (!log::speaks() || (log::quiet() && !request_.check_only)) return;
  log::line(start_text(communicator_, run_, session_, device_->text()));
  log::line(ledger_text(rows, node_bytes, communicator_.topology().local_ranks()));
  if (request_.check_only) log::line(program_text(session_.model.program));
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

// Refuses a folder in use, or resumes from its newest checkpoint. An empty folder starts fresh even
// with --resume, so that a requeued job needs one command.
void Trainer::open_folder() {
  const fs::path dir = run_.checkpoint.dir;
  std::string newest;
  communicator_.together([&] {
    if (communicator_.rank() != 0) return;
    if (!request_.resume && !request_.overwrite && has_checkpoints(dir))
      throw UserError(
          "checkpoint.dir = \"{}\" already holds checkpoints; go on with --resume, start again "
          "with "
          "--overwrite, or name another folder",
          dir.string());
    if (request_.resume) newest = newest_checkpoint(dir).value_or("").string();
    make_folder(dir);
  });
  newest = comm::broadcast_text(communicator_, newest);
  std::optional<std::int64_t> resumed;
  if (!newest.empty()) {
    State state = session_.state(progress());
    read_checkpoint(communicator_, newest, state);
    restore(state.progress);
    check_resumed(newest);
    resumed = saved_step_ = step_;
    log::info("resumed {} at step {}, epoch {}", newest, step_, at_.epoch + 1);
  }
  if (communicator_.rank() == 0)
    log_ = std::make_unique<MetricsLog>(dir / "metrics.jsonl", resumed);
}

  session_.deal_lanes(at_);
void Trainer::check_resumed(const std::string& checkpoint) const {
  std::string changed;
  communicator_.together([&] {
    if (communicator_.rank() != 0) return;
    const CheckpointText stored = read_checkpoint_text(checkpoint);
    const DataFacts known = parse_facts(stored.description, checkpoint);
    if (!(known == facts_of(session_.model.task, session_.model.tokenizer)))
      throw UserError(
          "{} was trained on other data than {}: its inputs' statistics, classes or tokenizer "
          "differ; resume it on its own data, or start again in another checkpoint.dir",
          checkpoint, run_.data.path);
    changed =
        changed_order(request_.parse_run(stored.resolved_run, "the run in " + checkpoint), run_);
    check_position(checkpoint, at_, session_.loader->steps_per_epoch(), changed);
  });
  if (!changed.empty()) log::info("goes on with {}", changed);
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
}

void Trainer::start_clock() {
  session_.restored();
  line_ = std::make_unique<ProgressLine>(ProgressOptions{log::quiet() || !log::speaks(),
                                                         run_.log.every, run_.train.batch,
                                                         session_.model.task.sequence});
  if (saves())
    install_signal_handlers();  // else a signal ends the run at once: nothing could be saved
  started_ = last_save_ = seconds_now();
  first_step_ = step_;
  observers_ = make_observers({communicator_, run_, [this] { return times(); }});
  for (const auto& observer : observers_) observer->begun(step_);
}

bool Trainer::finished() const {
  const bool reached = request_.stop_after > 0 && step_ >= request_.stop_after;
  return stop_agreed_ || stopped_early_ || reached || step_ >= session_.total_steps;
}

// Signals and the clock are one rank's own; the step's small message makes them everybody's.
parallel::Requests Trainer::requests() const {
  const bool by_time =
      communicator_.rank() == 0 && saves() && policy_.due_by_time(seconds_now() - last_save_);
  return {stop_requested(), by_time};
}

// To the end of the epoch, where there may be an evaluation, or to a checkpoint before it.
std::int64_t Trainer::steps_to_due() const {
  const std::int64_t to_epoch_end = session_.loader->steps_per_epoch() - at_.step;
  std::int64_t steps = 1;
  while (steps < to_epoch_end && !policy_.due_by_count(step_ + steps, 0)) ++steps;
  return steps;
}

// The steps until all ranks hold the same numbers again.
void Trainer::run_stretch() {
  communicator_.set_activity("training step", step_ + 1);
  const double start = seconds_now();
  std::int64_t most = session_.total_steps - step_;
  if (request_.stop_after > 0) most = std::min(most, request_.stop_after - step_);
  if (session_.strategy->ends_anywhere()) most = std::min(most, steps_to_due());
  outcomes_.resize(static_cast<std::size_t>(session_.strategy->stretch(step_, most)));
  passes_.begin(step_, at_, [this] { return requests(); });
  const std::int64_t done = session_.strategy->run(step_, passes_, outcomes_);
  const double seconds = seconds_now() - start;
  step_seconds_ += seconds;
  for (const auto& observer : observers_) observer->ended({step_ + done, done, seconds});
  for (std::int64_t i = 0; i < done; ++i) after_step(outcomes_[i], i + 1 == done);
}

void Trainer::after_step(const parallel::StepOutcome& outcome, bool last_of_stretch) {
  const nn::ProgramOptions& options = session_.model.program.options();
  const Evaluation mean = summarise(options, outcome.total.lane);
  ++step_;
  ++at_.step;
  const bool epoch_ends = at_.step == session_.loader->steps_per_epoch();
  line_->step({at_.epoch + 1, run_.train.steps > 0 ? 0 : run_.train.epochs, step_,
               session_.total_steps, at_.step, session_.loader->steps_per_epoch(), mean.loss,
               outcome.learning_rate});
  window_.add(mean.loss, metric_values(mean), outcome.learning_rate, outcome.gradient_norm);
  if (window_.steps() == run_.log.window) close_window();
  if (epoch_ends) at_ = {at_.epoch + 1, 0};
  const bool last = step_ >= session_.total_steps;
  // What is due within a stretch is done at its end.
  due_.evaluation |=
      epoch_ends && run_.train.evaluate_every > 0 && at_.epoch % run_.train.evaluate_every == 0;
  due_.stop |= outcome.total.stop_requests > 0;
  due_.save |=
      outcome.total.save_requests > 0 || policy_.due_by_count(step_, epoch_ends ? at_.epoch : 0);
  if (!last_of_stretch) return;
  const Due due = std::exchange(due_, {});
  if (validation_ && (due.evaluation || last)) evaluate_and_judge();
  stop_agreed_ = due.stop && !last;
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
  log::info("epoch {}, step {}: {} {}{}", (step_ - 1) / session_.loader->steps_per_epoch() + 1,
            step_, run_.data.val, values_text(result), best_is_new_ ? " (best)" : "");
  if (stopped_early_)
    log::info("stopped early: {} has not improved for {} evaluations", run_.train.monitor,
              bad_evaluations_);
  if (log_) {
    EvaluationRecord record{step_,
                            (step_ - 1) / session_.loader->steps_per_epoch() + 1,
                            run_.data.val,
                            result.loss,
                            metric_values(result),
                            best_is_new_};
    log_->write(record, {seconds_now() - started_, line_->samples_per_second()});
  }
  line_->resume();
}

void Trainer::save() {
  if (saved_step_ == step_) return;
  const double start = seconds_now();
  line_->pause();
  communicator_.set_activity("saving a checkpoint", step_);
  Hash128 digest;
  const fs::path file =
      write_checkpoint(communicator_, run_.checkpoint.dir, session_.state(progress()),
                       {request_.resolved_toml, environment_json(environment()),
                        facts_json(facts_of(session_.model.task, session_.model.tokenizer))},
                       static_cast<int>(run_.checkpoint.keep), best_is_new_, &digest);
  if (request_.overwrite && saved_step_ < 0 && communicator_.rank() == 0)
    remove_checkpoints_except(run_.checkpoint.dir, file);
  best_is_new_ = false;
  saved_step_ = step_;
  last_save_ = seconds_now();
  for (const auto& observer : observers_) observer->saved(step_, last_save_ - start);
  line_->clear();
  say_digest(digest, file.string());
  line_->resume();
}

void Trainer::say_digest(const Hash128& digest, const std::string& where) const {
  log::info("digest {} after step {}{}", digest.text(), step_, where.empty() ? "" : " in " + where);
}

RankTimes Trainer::times() const {
  const data::LoaderTimes data = session_.loader->times();
  const comm::FoldCounters& counters = session_.strategy->counters();
  const double total = seconds_now() - started_;
  RankTimes times;
  times.total = total;
  times.data = data.wait;
  times.exposed = counters.wait.exposed;
  times.hidden = counters.wait.hidden;
  times.fold = counters.fold_seconds;
  times.compute = std::max(0.0, step_seconds_ - times.data - times.exposed - times.fold);
  times.other = std::max(0.0, total - step_seconds_);
  times.samples = data.samples;
  times.bytes_sent = counters.bytes_sent;
  times.bytes_read = counters.bytes_read_peers;
  times.flops = session_.model.program.flops() * static_cast<double>(data.samples) /
                static_cast<double>(session_.model.task.microbatch);
  return times;
}

void Trainer::finish() {
  line_->finish();
  RankTimes mine = times();
  const bool nothing_to_do = step_ == first_step_;
  if (saves() && !nothing_to_do) {
    save();
  } else {
    say_digest(digest(communicator_, session_.state(progress())), "");
  }
  if (!device_->run_is_cuda())
    mine.fma_peak = measure_fma_peak() * static_cast<double>(run_.run.threads);
  fill_memory(mine);
  const auto ranks = gather_times(communicator_, mine);
  if (!nothing_to_do) log::info("\n{}", summary_text(ranks, session_.model.task.sequence));
  for (const std::string& line : session_.strategy->report()) log::info("  {}", line);
  if (nothing_to_do)
    log::info("nothing left to do: step {} of {}{}", step_, session_.total_steps,
              stopped_early_ ? ", stopped early" : "");
  if (stop_agreed_)
    log::info("stopped on a signal after step {} of {}; the same command with --resume goes on",
              step_, session_.total_steps);
}

Progress Trainer::progress() const {
  Progress p;
  p.integers = {{"step", step_},
                {"epoch", at_.epoch},
                {"epoch_step", at_.step},
                {"bad_evaluations", bad_evaluations_},
                {"has_best", has_best_ ? 1 : 0}};
  p.reals = {{"best", best_}};
  window_.save(p);
  return p;
}

void Trainer::restore(const Progress& p) {
  step_ = p.integers.at("step");
  at_ = {p.integers.at("epoch"), p.integers.at("epoch_step")};
  bad_evaluations_ = p.integers.at("bad_evaluations");
  has_best_ = p.integers.at("has_best") != 0;
  stopped_early_ = run_.train.patience > 0 && bad_evaluations_ >= run_.train.patience;
  best_ = p.reals.at("best");
  window_.load(p);
}

ExitCode run_training(comm::Communicator& communicator, const Run& run,
                      const TrainRequest& request) {
  return Trainer(communicator, run, request).train();
}

}  // namespace lockstep::train
