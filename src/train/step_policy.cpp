#include "train/step_policy.h"

#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/core/log.h"
#include "train/save_policy.h"

namespace lockstep::train {
namespace {

constexpr const char* kAdvice =
    "Lower optimizer.lr, set optimizer.clip, or look at the data (data.check_finite)";

double mean_loss(const parallel::StepOutcome& outcome) {
  const ops::LaneRecord& record = outcome.total.lane;
  return record.sums[0] / static_cast<double>(std::max<std::int64_t>(1, record.counts[0]));
}

bool skips(const TrainSection& o) {
  return o.on_nonfinite == OnNonFinite::kSkip || o.on_spike == OnSpike::kSkip;
}
bool rolls_back(const TrainSection& o) {
  return o.on_nonfinite == OnNonFinite::kRollback || o.on_spike == OnSpike::kRollback;
}

// Local steps, and servers that nobody waits for, apply before all ranks have seen the sums.
void check_strategy(const Run& run) {
  const parallel::Options& way = run.parallel.options;
  const bool local = way.kind == parallel::Kind::kLocal;
  const bool late = way.kind == parallel::Kind::kServer && way.mode != parallel::ServerMode::kSync;
  if (!(local || late) || !(skips(run.train) || rolls_back(run.train))) return;
  throw UserError(
      "train.on_nonfinite and train.on_spike cannot \"skip\" or \"rollback\" with {}, where an "
      "update "
      "is applied before all ranks have seen its numbers; use parallel.strategy = \"replicated\", "
      "\"sharded\" or \"server\" with mode = \"sync\", or \"stop\" and \"report\"",
      local ? "parallel.strategy = \"local\"" : "parallel.mode = \"bounded\" or \"async\"");
}

// Where a run goes back to is part of its numbers, and the clock must not be.
void check_checkpoints(const Run& run) {
  if (!rolls_back(run.train)) return;
  if (run.checkpoint.dir.empty())
    throw UserError(
        "a \"rollback\" (train.on_nonfinite, train.on_spike) goes back to a checkpoint: set "
        "checkpoint.dir, or use \"skip\"");
  if (!SavePolicy(run.checkpoint.every).counts())
    throw UserError(
        "checkpoint.every = \"{}\" does not go with \"rollback\" (train.on_nonfinite, "
        "train.on_spike): "
        "where a run goes back to must not depend on the clock; set it to steps or epochs, "
        "\"500steps\" for example",
        run.checkpoint.every);
}

std::string entry(const char* history, std::size_t i) {
  return fmt::format("spikes/{}/{:05}", history, i);
}

void save_history(const char* name, const RobustHistory& history, Progress& progress) {
  for (std::size_t i = 0; i < history.size(); ++i) progress.reals[entry(name, i)] = history.at(i);
}

void load_history(const char* name, const Progress& progress, RobustHistory& history) {
  history.clear();
  for (std::size_t i = 0;; ++i) {
    const auto found = progress.reals.find(entry(name, i));
    if (found == progress.reals.end()) return;
    history.push(found->second);
  }
}

std::int64_t integer(const Progress& progress, const std::string& name, std::int64_t otherwise) {
  const auto found = progress.integers.find(name);
  return found == progress.integers.end() ? otherwise : found->second;
}

std::string counted(std::int64_t n, const char* what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

}  // namespace

StepPolicy::StepPolicy(const Run& run, const ParameterTable& table)
    : options_(run.train),
      table_(table),
      losses_(options_.on_spike == OnSpike::kOff ? 1 : options_.spike_window),
      norms_(options_.on_spike == OnSpike::kOff ? 1 : options_.spike_window) {
  check_strategy(run);
  check_checkpoints(run);
}

bool StepPolicy::accept(std::int64_t step, const parallel::StepOutcome& outcome) {
  why_.clear();
  switch (judge(outcome)) {
    case Action::kStop:
      stop(step, "");
    case Action::kSkip:
      return skip(step);
    case Action::kRollback:
      return roll_back(step);
    case Action::kApply:
      break;
  }
  skips_ = 0;
  if (options_.on_spike != OnSpike::kOff) {
    losses_.push(mean_loss(outcome));
    norms_.push(outcome.gradient_norm);
  }
  return true;
}

StepPolicy::Action StepPolicy::judge(const parallel::StepOutcome& outcome) {
  if (!outcome.finite()) {
    why_ = what_is_not_finite(table_, outcome);
    if (options_.on_nonfinite == OnNonFinite::kStop) return Action::kStop;
    return options_.on_nonfinite == OnNonFinite::kSkip ? Action::kSkip : Action::kRollback;
  }
  if (options_.on_spike == OnSpike::kOff) return Action::kApply;
  why_ = spike_text(outcome);
  if (why_.empty()) return Action::kApply;
  ++spikes_;
  if (options_.on_spike == OnSpike::kReport) return Action::kApply;
  return options_.on_spike == OnSpike::kSkip ? Action::kSkip : Action::kRollback;
}

// Empty: neither number is one. A fall is none.
std::string StepPolicy::spike_text(const parallel::StepOutcome& outcome) {
  const double loss = mean_loss(outcome), norm = outcome.gradient_norm;
  const RobustHistory::Verdict of_loss = losses_.judge(loss), of_norm = norms_.judge(norm);
  const bool by_loss = of_loss.score > options_.spike_threshold;
  if (!by_loss && !(of_norm.score > options_.spike_threshold)) return "";
  const auto& [score, median] = by_loss ? of_loss : of_norm;
  return fmt::format("the {} {:.4g} is {:.3g} deviations above {:.4g}, the median of {} updates",
                     by_loss ? "loss" : "gradient norm", by_loss ? loss : norm, score, median,
                     options_.spike_window);
}

void StepPolicy::stop(std::int64_t step, const std::string& after) const {
  if (before_stop_) before_stop_();
  throw DataError("{} at step {}{}; nothing was applied. {}", why_, step + 1, after, kAdvice);
}

bool StepPolicy::skip(std::int64_t step) {
  if (skips_ >= options_.max_skips)
    stop(step, fmt::format(", after {} left out in a row (train.max_skips = {})",
                           counted(skips_, "update"), options_.max_skips));
  ++skips_;
  ++left_out_;
  return false;
}

bool StepPolicy::roll_back(std::int64_t step) {
  if (rollbacks_ >= options_.max_rollbacks)
    stop(step, fmt::format(", and the run has gone back {} already (train.max_rollbacks = {})",
                           counted(rollbacks_, "time"), options_.max_rollbacks));
  wants_rollback_ = true;
  return false;
}

std::optional<EventRecord> StepPolicy::ended(std::int64_t step,
                                             const parallel::StepOutcome& outcome) {
  if (!asked_) accept(step, outcome);
  if (why_.empty()) return std::nullopt;
  EventRecord event;
  event.step = step + 1;
  event.event = outcome.applied ? "spike" : "skipped";
  event.why = why_;
  return event;
}

EventRecord StepPolicy::rolled_back(std::int64_t step, std::int64_t rollbacks) {
  wants_rollback_ = false;
  rollbacks_ = rollbacks + 1;
  EventRecord event;
  event.step = step;
  event.event = "rollback";
  event.why = std::exchange(why_, {});
  event.rollback = rollbacks_;
  return event;
}

// What is as at the beginning is not written: a policy that never had to act leaves the digest of a
// run without.
void StepPolicy::save(Progress& progress) const {
  const auto put = [&progress](const char* name, std::int64_t value) {
    if (value > 0) progress.integers[name] = value;
  };
  put("policy/skips", skips_);
  put("policy/left_out", left_out_);
  put("policy/spikes", spikes_);
  put("policy/rollbacks", rollbacks_);
  if (rolls_back(options_)) put("policy/saved", saved_);
  if (options_.on_spike == OnSpike::kOff) return;
  save_history("loss", losses_, progress);
  save_history("gradient_norm", norms_, progress);
}

// A run may be resumed with another policy: what it did not keep begins anew.
void StepPolicy::load(const Progress& progress) {
  skips_ = integer(progress, "policy/skips", 0);
  left_out_ = integer(progress, "policy/left_out", 0);
  spikes_ = integer(progress, "policy/spikes", 0);
  rollbacks_ = integer(progress, "policy/rollbacks", 0);
  saved_ = integer(progress, "policy/saved", -1);
  load_history("loss", progress, losses_);
  load_history("gradient_norm", progress, norms_);
}

std::vector<std::string> StepPolicy::report() const {
  if (left_out_ + spikes_ + rollbacks_ == 0) return {};
  std::string line = fmt::format("bad numbers: {} left out", counted(left_out_, "update"));
  if (options_.on_spike != OnSpike::kOff) line += ", " + counted(spikes_, "spike");
  if (rollbacks_ > 0) line += ", " + counted(rollbacks_, "rollback");
  return {line};
}

}  // namespace lockstep::train
