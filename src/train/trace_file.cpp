#include "train/trace_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "lockstep/comm/clock_offset.h"
#include "lockstep/core/error.h"
#include "lockstep/core/event_file.h"
#include "lockstep/core/files.h"
#include "lockstep/core/host.h"
#include "lockstep/core/log.h"
#include "lockstep/core/memory.h"
#include "train/timeline_json.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using events::Ring;

fs::path folder_of(const fs::path& file) {
  return file.parent_path().empty() ? fs::path(".") : file.parent_path();
}

// A file that grows, and takes its name when it is whole.
class Growing {
 public:
  explicit Growing(fs::path file)
      : file_(std::move(file)), temporary_(file_.string() + fmt::format(".part-{}", ::getpid())) {
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd_ < 0) throw UserError("cannot write {}: {}", temporary_.string(), std::strerror(errno));
  }
  ~Growing() {
    if (fd_ >= 0) ::close(fd_);
    std::error_code ignored;
    if (!whole_) fs::remove(temporary_, ignored);
  }
  Growing(const Growing&) = delete;
  Growing& operator=(const Growing&) = delete;
  void append(const std::string& text) {
    write_at(fd_, text.data(), text.size(), end_, temporary_);
    end_ += text.size();
  }
  void finish() {
    ::close(std::exchange(fd_, -1));
    commit_file(temporary_, file_);
    whole_ = true;
  }

 private:
  const fs::path file_, temporary_;
  int fd_ = -1;
  std::uint64_t end_ = 0;
  bool whole_ = false;
};

// The first step of which no thread's record has been overwritten by later ones; 1: all of the run.
std::int64_t first_whole_step(const Ring& ring) {
  std::int64_t first = 1;
  for (const Ring::Thread& thread : ring.threads)
    if (thread.dropped > 0 && !thread.done.empty())
      first = std::max(first, thread.done.front().step + 1);
  return first;
}

std::uint64_t most_records(const Ring& ring) {
  std::uint64_t most = 0;
  for (const Ring::Thread& thread : ring.threads)
    most = std::max(most, thread.dropped + thread.done.size());
  return most;
}

class TraceFile final : public Observer {
 public:
  TraceFile(const Observed& observed, fs::path file)
      : observed_(observed), file_(std::move(file)), speaks_(observed.communicator.rank() == 0) {}
  ~TraceFile() override {
    if (over_ || !speaks_) return;
    const std::string folder = events::folder();
    if (!folder.empty())
      log::info("{} was not written: what the ranks recorded is in {}; lockstep trace {} --out {}",
                file_.string(), folder, folder, file_.string());
  }

  void begun(std::int64_t step) override { begun_ = step; }
  void ended(const Stretch& stretch) override {
    events::count("memory (bytes)", static_cast<double>(resident_memory()));
    if (!speaks_ || stretch.last == nullptr) return;
    events::count("loss", observed_.loss(*stretch.last));
    if (stretch.seconds > 0)
      events::count(
          "samples per second",
          static_cast<double>(stretch.steps * observed_.run.train.batch) / stretch.seconds);
  }
  void finished(std::int64_t step, ExitCode) override {
    over_ = true;
    comm::Communicator& communicator = observed_.communicator;
    const comm::ClockOffset clock = comm::measure_clock(communicator);
    const std::string mine = events::image(
        {communicator.rank(), communicator.size(), host_name(), clock.offset, clock.error});
    const std::int64_t first = communicator.min(first_moment(events::parse_ring(mine, "rings")));
    std::optional<Growing> out;
    try {
      communicator.gather(
          std::as_bytes(std::span(mine)), 0,
          [&](int, std::span<const std::byte> bytes) { append(out, bytes, first); });
      if (out) end(*out, step);
    } catch (const UserError& error) {  // a run that has ended well stays one
      log::warn("{}; there is no timeline of this run", error.what());
    }
  }

 private:
  void append(std::optional<Growing>& out, std::span<const std::byte> bytes, std::int64_t first) {
    const Ring ring = events::parse_ring(
        std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), "rings");
    if (out) {
      out->append(",\n");
    } else {
      out.emplace(file_);
      out->append(trace_head());
    }
    out->append(trace_lines(ring, first));
    whole_from_ = std::max(whole_from_, first_whole_step(ring));
    most_ = std::max(most_, most_records(ring));
    clock_error_ = std::max(clock_error_, ring.error);
  }

  void end(Growing& out, std::int64_t step) {
    const std::int64_t from = std::max(begun_ + 1, whole_from_);
    nlohmann::ordered_json about{{"ranks", observed_.communicator.size()},
                                 {"device", observed_.run.run.device},
                                 {"first_step", begun_ + 1},
                                 {"whole_from_step", from},
                                 {"last_step", step},
                                 {"clock_error_ns", clock_error_}};
    if (observed_.run.run.device != "cpu")
      about["note"] =
          "spans are of host threads: a GPU's ops are shown as they are given to it, and a pass "
          "that is launched as a captured graph as one span";
    out.append(trace_tail(about.dump()));
    out.finish();
    std::string kept = fmt::format("steps {} to {}", from, step);
    if (from > begun_ + 1)
      kept += fmt::format(
          ", the last {} of {}: earlier events had to make room; log.events = {} keeps all",
          std::max<std::int64_t>(0, step - from + 1), step - begun_, most_);
    log::info("{}: a timeline of {} rank{}, {}; open it in ui.perfetto.dev", file_.string(),
              observed_.communicator.size(), observed_.communicator.size() == 1 ? "" : "s", kept);
  }

  const Observed observed_;
  const fs::path file_;
  const bool speaks_;
  bool over_ = false;
  std::int64_t begun_ = 0, whole_from_ = 1, clock_error_ = 0;
  std::uint64_t most_ = 0;
};

}  // namespace

void check_trace_file(comm::Communicator& communicator, const fs::path& file) {
  communicator.together([&] {
    if (communicator.rank() != 0) return;
    const fs::path folder = folder_of(file);
    if (fs::is_directory(file))
      throw UserError("--trace {} is a folder; name a file in it", file.string());
    if (!fs::is_directory(folder))
      throw UserError("--trace {} cannot be written: there is no folder {}", file.string(),
                      folder.string());
    if (::access(folder.c_str(), W_OK | X_OK) != 0)
      throw UserError("--trace {} cannot be written: {}: {}", file.string(), folder.string(),
                      std::strerror(errno));
  });
}

fs::path trace_rings(const fs::path& file) { return file.string() + ".rings"; }

std::unique_ptr<Observer> make_trace_file(const Observed& observed, fs::path file) {
  return std::make_unique<TraceFile>(observed, std::move(file));
}

}  // namespace lockstep::train
