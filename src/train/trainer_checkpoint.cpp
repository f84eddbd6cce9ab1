// How a trainer saves what it has done, and goes on from what was saved.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "lockstep/core/log.h"
#include "lockstep/data/normalisation.h"
#include "lockstep/train/timeline.h"
#include "train/checkpoint_folder.h"
#include "train/event_rings.h"
#include "train/resume_check.h"
#include "train/trainer.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

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

}  // namespace

// Refuses a folder in use, or resumes from its newest sound checkpoint. An empty folder starts
// fresh even with --resume, so that a requeued job needs one command.
void Trainer::open_folder() {
  const fs::path dir = run_.checkpoint.dir;
  communicator_.together([&] {
    if (communicator_.rank() != 0) return;
    if (!request_.resume && !request_.overwrite && has_checkpoints(dir))
      throw UserError(
          "checkpoint.dir = \"{}\" already holds checkpoints; go on with --resume, start again "
          "with --overwrite, or name another folder",
          dir.string());
    make_folder(dir);
  });
  open_event_rings(communicator_, dir / kEventsFolder, dir / kEarlierEventsFolder);
  std::optional<std::int64_t> resumed;
  if (request_.resume) {
    State state = session_.state(progress());
    const Restored restored = saver_->restore_newest(state);
    if (!restored.file.empty()) {
      restore(state.progress);
      check_resumed(restored.file);
      resumed = saved_step_ = step_;
      log::info("resumed {} at step {}, epoch {}", restored.file.string(), step_, at_.epoch + 1);
    }
  }
  communicator_.together([&] {
    if (communicator_.rank() != 0) return;
    const fs::path metrics = dir / "metrics.jsonl";
    log_ = std::make_unique<MetricsLog>(metrics, resumed, step_policy_.rollbacks());
    if (!resumed) return;
    // An attempt that was killed behind its last checkpoint may have left this to be done.
    remove_stale_files(dir);
    if (best_step(metrics) == *resumed) mark_best(checkpoint_path(dir, *resumed));
  });
}

void Trainer::check_resumed(const std::string& checkpoint) const {
  std::string changed, remark;
  communicator_.together([&] {
    if (communicator_.rank() != 0) return;
    const CheckpointText stored = read_checkpoint_text(checkpoint);
    remark = check_data(stored.description, checkpoint);
    changed =
        changed_order(request_.parse_run(stored.resolved_run, "the run in " + checkpoint), run_);
    check_position(checkpoint, at_, session_.loader->steps_per_epoch(), changed);
  });
  if (!changed.empty()) log::info("goes on with {}", changed);
  if (!remark.empty()) log::info("{}", remark);
}

// A model goes on with the data that it has learnt from, or the run file allows others. Returns
// what is to be said.
std::string Trainer::check_data(const std::string& description,
                                const std::string& checkpoint) const {
  const Model& model = session_.model;
  const DataFacts known = parse_facts(description, checkpoint);
  const DataVersion stored = parse_version(description), now = version_of(model.manifest);
  std::string other = other_data(stored, now);
  DataFacts mine = facts_of(model.task, model.tokenizer), its = known;
  // Statistics that nothing is normalised by may be there or not: a sidecar has them.
  if (data::normalise_of(*model.task.input, run_.data.normalise) == data::Normalise::kNone)
    its.has_statistics = mine.has_statistics, its.mean = mine.mean, its.deviation = mine.deviation,
    its.minimum = mine.minimum, its.maximum = mine.maximum;
  if (other.empty() && !(its == mine))
    other = "its inputs' statistics, classes or tokenizer differ";
  if (other.empty()) {
    if (stored.structure.empty() || (!stored.id.empty() && !now.id.empty())) return {};
    return fmt::format(
        "{} has no id, so that only its splits and shapes were compared with those that {} was "
        "trained on; `lockstep inspect --seal` gives it one",
        model.manifest.name(), checkpoint);
  }
  if (!run_.data.accept_other)
    throw UserError(
        "{} was trained on other data than {}: {}; resume it on its own data, set "
        "data.accept_other = true to go on with these, or start again in another checkpoint.dir",
        checkpoint, run_.data.path(), other);
  check_tokenizer(known, model.tokenizer, model.manifest);
  return fmt::format("goes on with other data: {}", other);
}

// What every checkpoint holds alike is made before the first step.
void Trainer::ready_to_save() {
  save_text_ = {request_.resolved_toml, environment_json(environment()),
                facts_json(facts_of(session_.model.task, session_.model.tokenizer),
                           version_of(session_.model.manifest))};
  saver_->start_clock();
}

// Steps wait for a copy of the state; the rest is done beside them.
void Trainer::save() {
  if (saved_step_ == step_) return;
  replicas_.before_save(step_);
  tell_saved(saver_->finish_for_next());
  line_->pause();
  saver_->begin(session_.state(progress()), save_text_,
                {.best = best_is_new_, .alone = request_.overwrite && saved_step_ < 0});
  best_is_new_ = false;
  saved_step_ = step_;
  line_->resume();
  if (!run_.checkpoint.background) finish_save();
}

void Trainer::finish_save() {
  if (saver_) tell_saved(saver_->finish());
}

void Trainer::tell_saved(const std::optional<FinishedSave>& saved) {
  if (!saved) return;
  stopping_.took_save(saved->work);
  last_digest_ = {saved->digest.text(), saved->step};
  for (const auto& observer : observers_) observer->saved(saved->step, saved->stood);
  line_->clear();
  say_digest(saved->digest, saved->step, saved->file.string());
  line_->resume();
}

void Trainer::restore_newest(std::int64_t most) {
  const std::int64_t rollbacks = step_policy_.rollbacks();
  finish_save();
  State state = session_.state(progress());
  const Restored restored = saver_->restore_newest(state, most);
  if (restored.file.empty())
    throw DataError("there is no checkpoint in {} to go back to", run_.checkpoint.dir);
  restore(state.progress);
  session_.restored();
  saved_step_ = step_;
  best_is_new_ = false;
  due_ = {};
  if (!log_) return;
  log_.reset();
  log_ = std::make_unique<MetricsLog>(fs::path(run_.checkpoint.dir) / "metrics.jsonl", step_,
                                      rollbacks);
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
  step_policy_.save(p);
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
  step_policy_.load(p);
}

}  // namespace lockstep::train
