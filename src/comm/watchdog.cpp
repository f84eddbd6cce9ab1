#include "watchdog.h"

#include <algorithm>
#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/core/event_file.h"
#include "lockstep/core/log.h"
#include "lockstep/core/units.h"
#include "mpi_call.h"

namespace lockstep::comm {
namespace {

constexpr double kBeatSeconds = 0.01;   // between beats and looks at the probes while waiting
constexpr double kAnswerSeconds = 2.0;  // a rank that waits answers within this time
constexpr double kGraceSeconds = 15.0;  // for the rank that reports to end the run
constexpr int kProbeTag = 1, kAnswerTag = 2;

std::string where(const Awaited& awaited) {
  std::string text = awaited.what;
  if (awaited.number >= 0) text += fmt::format(" {}", awaited.number);
  if (awaited.step >= 0) text += fmt::format(" of step {}", awaited.step);
  return text;
}

// Where to look for what each rank did last.
std::string evidence() {
  const std::string folder = events::folder();
  return folder.empty() ? "" : fmt::format("; what each did last: lockstep trace {}", folder);
}

}  // namespace

Watchdog::Watchdog(Setting setting) : setting_(std::move(setting)) {
  const auto& local = setting_.local_ranks;
  local_ = static_cast<int>(std::find(local.begin(), local.end(), setting_.rank) - local.begin());
  set_activity("starting", -1);
}

ControlBlock& Watchdog::block(int local) const {
  return *reinterpret_cast<ControlBlock*>(setting_.page->part(local));
}

ControlBlock& Watchdog::mine() const {
  return setting_.page ? block(local_) : const_cast<ControlBlock&>(private_block_);
}

bool Watchdog::is_local(int rank) const {
  const auto& local = setting_.local_ranks;
  return setting_.page && std::find(local.begin(), local.end(), rank) != local.end();
}

void Watchdog::set_activity(const char* what, std::int64_t step) {
  ControlBlock& control = mine();
  std::uint64_t words[kActivityBytes / 8] = {};
  std::memcpy(words, what, std::min(std::strlen(what), kActivityBytes - 1));
  for (std::size_t i = 0; i < kActivityBytes / 8; ++i) {
    control.activity[i].store(words[i], std::memory_order_relaxed);
  }
  control.step.store(step, std::memory_order_relaxed);
}

Watchdog::Sighting Watchdog::sight(const ControlBlock& control) const {
  Sighting seen;
  seen.step = control.step.load(std::memory_order_relaxed);
  std::uint64_t words[kActivityBytes / 8];
  for (std::size_t i = 0; i < kActivityBytes / 8; ++i) {
    words[i] = control.activity[i].load(std::memory_order_relaxed);
  }
  std::memcpy(seen.activity, words, kActivityBytes);
  seen.activity[kActivityBytes - 1] = '\0';
  return seen;
}

void Watchdog::waiting(const Awaited& awaited, double waited_seconds) {
  if (waited_seconds < kBeatSeconds) return;
  const double now = seconds_now();
  if (now < next_beat_) return;
  next_beat_ = now + kBeatSeconds;
  events::alive();
  mine().beat.fetch_add(1, std::memory_order_relaxed);
  answer_probes(nullptr);
  if (waited_seconds > setting_.limit_seconds && claim_report(waited_seconds)) {
    report(awaited, waited_seconds);
  }
}

// Answers whoever asks; with `sightings`, also reads the answers to this rank's own probes.
bool Watchdog::answer_probes(std::vector<Sighting>* sightings) {
  bool lead = true;
  for (int found = 1; found;) {
    MPI_Status status;
    check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, setting_.probes, &found, &status),
              "MPI_Iprobe");
    if (!found) break;
    Sighting message;
    check_mpi(MPI_Recv(&message, sizeof message, MPI_BYTE, status.MPI_SOURCE, status.MPI_TAG,
                       setting_.probes, MPI_STATUS_IGNORE),
              "MPI_Recv");
    if (status.MPI_TAG == kProbeTag) {
      Sighting answer = sight(mine());
      answer.answers = true;
      // Small enough to leave at once, whatever the receiver does.
      check_mpi(MPI_Send(&answer, sizeof answer, MPI_BYTE, status.MPI_SOURCE, kAnswerTag,
                         setting_.probes),
                "MPI_Send");
      if (status.MPI_SOURCE < setting_.rank) {
        lead = false;
        resigned_until_ = seconds_now() + kGraceSeconds;
      }
    } else if (sightings != nullptr) {
      (*sightings)[status.MPI_SOURCE] = message;
    }
  }
  return lead;
}

// Only one rank of a node reports, and of several nodes the one with the lowest rank; the others
// wait for it to end the run, and speak if it does not.
bool Watchdog::claim_report(double waited_seconds) {
  if (seconds_now() < resigned_until_) return false;
  if (!setting_.page) return true;
  std::uint64_t nobody = 0;
  const auto me = static_cast<std::uint64_t>(setting_.rank) + 1;
  return block(0).reporter.compare_exchange_strong(nobody, me) || nobody == me ||
         waited_seconds > setting_.limit_seconds + kGraceSeconds;
}

void Watchdog::report(const Awaited& awaited, double waited_seconds) {
  const int ranks = static_cast<int>(setting_.hosts.size());
  const int locals = setting_.page ? static_cast<int>(setting_.local_ranks.size()) : 0;
  std::vector<Sighting> sightings(ranks);
  std::vector<std::uint64_t> beats(locals);
  for (int l = 0; l < locals; ++l) beats[l] = block(l).beat.load(std::memory_order_relaxed);

  for (int r = 0; r < ranks; ++r) {
    if (r == setting_.rank || is_local(r)) continue;
    MPI_Request request;
    check_mpi(MPI_Isend(&probe_, sizeof probe_, MPI_BYTE, r, kProbeTag, setting_.probes, &request),
              "MPI_Isend");
    MPI_Request_free(&request);  // a stopped rank may never take it
  }
  const double deadline = seconds_now() + kAnswerSeconds;
  while (seconds_now() < deadline) {
    mine().beat.fetch_add(1, std::memory_order_relaxed);
    if (!answer_probes(&sightings)) break;
    sched_yield();
  }
  if (seconds_now() < resigned_until_) return;
  for (int l = 0; l < locals; ++l) {
    Sighting& seen = sightings[setting_.local_ranks[l]];
    seen = sight(block(l));
    seen.answers = block(l).beat.load(std::memory_order_relaxed) != beats[l];
  }
  sightings[setting_.rank].answers = true;
  for (int r = 0; r < ranks; ++r)
    if (!sightings[r].answers)
      events::instant(events::Kind::kFailure, "missing", {.step = sightings[r].step, .peer = r});
  log::error(sentence(awaited, waited_seconds, sightings));
  abort_all(static_cast<int>(ExitCode::kHang));
}

std::string Watchdog::sentence(const Awaited& awaited, double waited_seconds,
                               const std::vector<Sighting>& sightings) const {
  std::string missing;
  for (std::size_t r = 0; r < sightings.size(); ++r) {
    const Sighting& seen = sightings[r];
    if (seen.answers) continue;
    missing += fmt::format("{}rank {} (host {}", missing.empty() ? "" : ", ", r, setting_.hosts[r]);
    if (seen.activity[0] != '\0') missing += fmt::format(", last seen in {}", seen.activity);
    if (seen.step >= 0) missing += fmt::format(" at step {}", seen.step);
    missing += ")";
  }
  const std::string waited =
      fmt::format("rank {} (host {}) waited {} for {}", setting_.rank,
                  setting_.hosts[setting_.rank], seconds_text(waited_seconds), where(awaited));
  if (missing.empty()) {
    return waited +
           "; every rank is there and waits, so they wait for each other: please report this" +
           evidence();
  }
  return fmt::format(
      "{}; missing: {}. Look at those processes (stopped, swapping, stuck in a file system), or "
      "raise run.watchdog if a step takes this long{}",
      waited, missing, evidence());
}

}  // namespace lockstep::comm
