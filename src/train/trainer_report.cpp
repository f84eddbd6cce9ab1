// What a trainer says of its run, at the start and at the end.
#include <algorithm>
#include <filesystem>

#include "lockstep/core/clock.h"
#include "lockstep/core/log.h"
#include "lockstep/device/cuda.h"
#include "train/algorithm_choice.h"
#include "train/start_report.h"
#include "train/trainer.h"

namespace lockstep::train {

std::vector<LedgerRow> Trainer::ledger() const {
  auto rows = session_.ledger();
  if (saver_ && run_.checkpoint.background) rows.push_back(saver_->ledger_row());
  return ledger_rows(rows, device_->is_cuda());
}

void Trainer::say_settings() const {
  const auto rows = ledger();
  const std::uint64_t node_bytes = node_total(communicator_, total_bytes(rows));
  if (!log::speaks() || (log::quiet() && !request_.check_only)) return;
  log::line(settings_text(start_rows(communicator_, run_, session_, device_->text())));
  log::line(ledger_text(rows, node_bytes, communicator_.topology().local_ranks()));
  if (request_.check_only) log::line(program_text(session_.model.program));
}

void Trainer::say_digest(const Hash128& digest, std::int64_t step, const std::string& where) const {
  log::info("digest {} after step {}{}", digest.text(), step, where.empty() ? "" : " in " + where);
}

Observed Trainer::observed() const {
  Observed observed{communicator_, run_, [this] { return times(); }};
  observed.loss = [this](const parallel::StepOutcome& outcome) {
    return summarise(session_.model.program.options(), outcome.total.lane).loss;
  };
  observed.passes = [this] { return passes_.times(); };
  observed.note = [this](const EventRecord& event) {
    if (log_) log_->write(event, {seconds_now() - started_, line_->samples_per_second()});
  };
  observed.ending = [this] { return ending_; };
  observed.record = [this] { return record(); };
  observed.digest = [this] { return last_digest_; };
  observed.total_steps = session_.total_steps;
  observed.steps_per_epoch = session_.loader->steps_per_epoch();
  observed.afresh = request_.overwrite;
  if (device_->is_cuda()) observed.gpu = cuda_identity(device_->get());
  return observed;
}

RunRecord Trainer::record() const {
  RunRecord record;
  record.name = std::filesystem::path(run_.checkpoint.dir).lexically_normal().filename().string();
  record.version = request_.version;
  record.resolved_toml = request_.resolved_toml;
  record.settings = start_rows(communicator_, run_, session_, device_->text());
  record.environment = environment().entries;
  record.ranks = communicator_.size();
  record.nodes = communicator_.topology().nodes();
  record.threads = run_.run.threads;
  record.batch = run_.train.batch;
  record.lanes = run_.train.lanes;
  record.steps = session_.total_steps;
  record.steps_per_epoch = session_.loader->steps_per_epoch();
  record.sequence = session_.model.task.sequence;
  record.parameters = static_cast<double>(session_.model.program.table().elements());
  record.step_flops = session_.model.program.flops() /
                      static_cast<double>(session_.model.task.microbatch) *
                      static_cast<double>(run_.train.batch);
  record.ledger = ledger();
  record.planned = request_.planned;
  return record;
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
  times.bytes_sent = counters.bytes_sent + data.bytes_sent;
  times.bytes_read = counters.bytes_read_peers;
  times.bytes_loaded = data.bytes_read;
  times.skipped = data.skipped;
  times.bytes_cached = data.bytes_cached;
  times.flops = session_.model.program.flops() * static_cast<double>(data.samples) /
                static_cast<double>(session_.model.task.microbatch);
  return times;
}

// Collective.
std::string Trainer::ending() const {
  if (stop_agreed_) return stopping_.reason();
  if (stopped_early_) return "early stopping";
  return step_ < session_.total_steps ? "--stop-after" : "done";
}

void Trainer::finish() {
  line_->finish();
  ending_ = ending();
  RankTimes mine = times();
  const bool nothing_to_do = step_ == first_step_;
  if (saves() && !nothing_to_do) {
    save();
    finish_save();
  } else {
    say_digest(digest(communicator_, session_.state(progress())), step_, "");
  }
  if (!device_->run_is_cuda())
    mine.fma_peak = measure_fma_peak() * static_cast<double>(run_.run.threads);
  fill_memory(mine);
  const auto ranks = gather_times(communicator_, mine);
  if (!nothing_to_do) log::info("\n{}", summary_text(ranks, session_.model.task.sequence));
  for (const std::string& line : session_.strategy->report()) log::info("  {}", line);
  for (const std::string& line : step_policy_.report()) log::info("  {}", line);
  for (const auto& observer : observers_)
    for (const std::string& line : observer->report()) log::info("  {}", line);
  if (nothing_to_do && !stop_agreed_)
    log::info("nothing left to do: step {} of {}{}", step_, session_.total_steps,
              stopped_early_ ? ", stopped early" : "");
  if (stop_agreed_)
    log::info("stopped by {} after step {} of {}; the same command with --resume goes on", ending_,
              step_, session_.total_steps);
}

}  // namespace lockstep::train
