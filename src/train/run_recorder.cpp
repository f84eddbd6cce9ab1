#include "train/run_recorder.h"

#include <chrono>
#include <cstring>
#include <filesystem>
#include <span>

#include "lockstep/core/clock.h"
#include "lockstep/core/log.h"
#include "lockstep/core/memory.h"
#include "train/host_names.h"
#include "train/time_limit.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

double wall_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

RunRecorder::RunRecorder(const Observed& observed)
    : observed_(observed),
      writes_(observed.communicator.rank() == 0),
      file_(fs::path(observed.run.checkpoint.dir) / kRunRecord),
      plan_file_(fs::path(observed.run.checkpoint.dir) / kPlanRecord) {}

RunRecorder::~RunRecorder() {
  if (!recording_ || over_ || !writes_) return;
  record_.ended = utc_text(wall_now());
  record_.ending = "an error";
  write();
}

// A run that is over and is started again stays as it is told already.
void RunRecorder::begun(std::int64_t step) {
  recording_ = step < observed_.total_steps;
  if (!recording_) return;
  std::vector<std::string> hosts = host_names(observed_.communicator);
  if (!writes_) return;
  record_ = observed_.record();
  record_.hosts = std::move(hosts);
  record_.started = utc_text(wall_now() - (seconds_now() - program_start()));
  if (step > 0) {
    try {
      const RunRecord before = read_run_record(fs::path(observed_.run.checkpoint.dir) / kRunRecord);
      record_.started = before.started;
      record_.digest = before.digest;
      record_.digest_step = before.digest_step;
    } catch (const Error&) {
      // Of an earlier program, or damaged: it begins here.
    }
  }
  write();
  if (record_.planned) plan_file_.write(planned_record_json(*record_.planned));
}

void RunRecorder::saved(std::int64_t /*step*/, double /*seconds*/) {
  if (!recording_) return;
  gather_memory();
  if (!writes_) return;
  std::tie(record_.digest, record_.digest_step) = observed_.digest();
  write();
}

void RunRecorder::finished(std::int64_t /*step*/, ExitCode /*code*/) {
  if (!recording_) return;
  over_ = true;
  gather_memory();
  if (!writes_) return;
  record_.ended = utc_text(wall_now());
  record_.ending = observed_.ending();
  write();
  for (BackgroundFile* file : {&file_, &plan_file_}) {
    file->finish();
    if (const std::string trouble = file->trouble(); !trouble.empty())
      log::warn("{}; the run's report will lack it", trouble);
  }
}

// Collective.
void RunRecorder::gather_memory() {
  const std::uint64_t mine = peak_resident_memory();
  const std::vector<std::byte> all =
      observed_.communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  record_.peak_memory.resize(all.size() / sizeof mine);
  std::memcpy(record_.peak_memory.data(), all.data(), all.size());
}

void RunRecorder::write() { file_.write(run_record_json(record_)); }

}  // namespace lockstep::train
