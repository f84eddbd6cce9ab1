#include "train/event_rings.h"

#include <array>
#include <cstring>
#include <filesystem>
#include <span>

#include "lockstep/comm/clock_offset.h"
#include "lockstep/core/error.h"
#include "lockstep/core/event_file.h"
#include "lockstep/core/files.h"
#include "lockstep/core/host.h"
#include "lockstep/core/log.h"
#include "lockstep/train/timeline.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

// Restarts do not pile files up: one earlier attempt is kept.
void set_aside(const fs::path& now, const fs::path& before) {
  if (!fs::exists(now)) return;
  if (fs::is_empty(now)) return;
  fs::remove_all(before);
  fs::rename(now, before);
}

// The disk is for checkpoints: rings may take so small a part of what is free.
constexpr std::uint64_t kSpare = 16;

bool has_room(comm::Communicator& communicator, const fs::path& dir) {
  const auto needed = events::file_bytes() * static_cast<std::uint64_t>(communicator.size());
  std::int64_t room = 1;
  try {
    if (communicator.rank() == 0) room = free_bytes(dir) >= kSpare * needed ? 1 : 0;
  } catch (const UserError&) {
    // What is wrong with the folder shows when a file is made.
  }
  return communicator.min(room) == 1;
}

using Reason = std::array<char, 512>;  // of a rank that has no file; empty: it has one

std::string make_file(const fs::path& folder, comm::Communicator& communicator,
                      const comm::ClockOffset& clock) {
  try {
    fs::create_directories(folder);
    events::keep_in_file(
        folder / fmt::format("rank-{:04}.ring", communicator.rank()),
        {communicator.rank(), communicator.size(), host_name(), clock.offset, clock.error});
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

class EventRings final : public Observer {
 public:
  void finished(std::int64_t, ExitCode code) override {
    if (code == ExitCode::kDone || code == ExitCode::kStopped) events::remove_file();
  }
};

}  // namespace

void open_event_rings(comm::Communicator& communicator, const fs::path& folder,
                      const fs::path& before) {
  if (!events::recording()) return;
  const fs::path dir = folder.parent_path().empty() ? "." : folder.parent_path();
  if (!has_room(communicator, dir))
    return log::info(
        "{} has too little room left for files of the ranks' last events (log.events): they are "
        "kept in memory alone",
        dir.string());
  const comm::ClockOffset clock = comm::measure_clock(communicator);
  Reason mine{};
  if (communicator.rank() == 0) {
    try {
      set_aside(folder, before);
    } catch (const std::exception& error) {
      std::strncpy(mine.data(), error.what(), mine.size() - 1);
    }
  }
  communicator.barrier();
  if (mine[0] == '\0')
    std::strncpy(mine.data(), make_file(folder, communicator, clock).c_str(), mine.size() - 1);
  const std::vector<std::byte> bytes = communicator.gather_all(std::as_bytes(std::span(mine)));
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(Reason)) {
    Reason reason;
    std::memcpy(reason.data(), bytes.data() + at, sizeof reason);
    if (reason[0] == '\0') continue;
    return log::warn(
        "{}; events are kept in memory alone there, and lockstep trace will have nothing to show "
        "(log.events = 0 leaves them out)",
        reason.data());
  }
}

std::unique_ptr<Observer> make_event_rings() { return std::make_unique<EventRings>(); }

}  // namespace lockstep::train
