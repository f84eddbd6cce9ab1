#include "train/profiler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>

#include "lockstep/core/clock.h"
#include "lockstep/core/log.h"
#include "lockstep/core/memory.h"
#include "lockstep/train/run_record.h"

namespace lockstep::train {
namespace {

// Lines of a run at most: its windows are that much longer than log.window.
constexpr std::int64_t kMostLines = 2000;
// A line's cost is a part of the window's time not larger than this.
constexpr double kMostCost = 1.0 / 2000;

constexpr std::array<std::pair<const char*, double RankTimes::*>, 6> kPhases{
    {{"compute", &RankTimes::compute},
     {"fold", &RankTimes::fold},
     {"exposed", &RankTimes::exposed},
     {"hidden", &RankTimes::hidden},
     {"data", &RankTimes::data},
     {"other", &RankTimes::other}}};
constexpr std::array<std::pair<const char*, std::int64_t RankTimes::*>, 3> kBytes{
    {{"sent", &RankTimes::bytes_sent},
     {"read", &RankTimes::bytes_read},
     {"loaded", &RankTimes::bytes_loaded}}};

// What a rank tells of a window.
struct Slice {
  double total = 0;
  std::array<double, kPhases.size()> seconds{};
  std::array<std::int64_t, kBytes.size()> bytes{};
  std::uint64_t memory = 0;
  double gathering = 0, writing = 0;  // that its last line took
};

Slice slice_of(const RankTimes& before, const RankTimes& now) {
  Slice slice;
  slice.total = now.total - before.total;
  for (std::size_t i = 0; i < kPhases.size(); ++i)
    slice.seconds[i] = std::max(0.0, now.*kPhases[i].second - before.*kPhases[i].second);
  for (std::size_t i = 0; i < kBytes.size(); ++i)
    slice.bytes[i] = now.*kBytes[i].second - before.*kBytes[i].second;
  slice.memory = resident_memory();
  return slice;
}

ProfileLine line_of(std::span<const Slice> slices) {
  ProfileLine line;
  const auto slowest = std::ranges::max_element(slices, {}, &Slice::total);
  line.seconds = slowest->total;
  line.positions = profiled_positions(static_cast<int>(slices.size()),
                                      static_cast<int>(slowest - slices.begin()));
  for (const int p : line.positions) {
    for (std::size_t i = 0; i < kPhases.size(); ++i)
      line.phases[kPhases[i].first].push_back(slices[p].seconds[i]);
    for (std::size_t i = 0; i < kBytes.size(); ++i)
      line.bytes[kBytes[i].first].push_back(static_cast<double>(slices[p].bytes[i]));
    line.bytes["memory"].push_back(static_cast<double>(slices[p].memory));
  }
  return line;
}

}  // namespace

Profiler::Profiler(const Observed& observed)
    : observed_(observed),
      least_(
          std::max(observed.run.log.window, (observed.total_steps + kMostLines - 1) / kMostLines)),
      every_(least_) {}

void Profiler::begun(std::int64_t step) {
  recording_ = step < observed_.total_steps;
  if (!recording_) return;
  open(step);
  before_ = observed_.times();
}

// Lines of later steps are of an earlier attempt, or of what was rolled back.
void Profiler::open(std::int64_t step) {
  last_ = step;
  steps_ = 0;
  if (observed_.communicator.rank() != 0) return;
  file_.reset();
  const auto keep = [step](const std::string& line) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    return json.is_object() && json.value("step", step + 1) <= step;
  };
  try {
    file_ = std::make_unique<AppendedLines>(
        std::filesystem::path(observed_.run.checkpoint.dir) / kProfile, keep);
  } catch (const UserError& error) {
    log::warn("{}; the run's report will not show where time went", error.what());
  }
}

void Profiler::ended(const Stretch& stretch) {
  if (!recording_) return;
  const std::int64_t began = stretch.step - stretch.steps;
  if (began < last_) {
    open(began);
    before_ = observed_.times();
  }
  last_ = stretch.step;
  steps_ += stretch.steps;
  if (steps_ >= every_) close_window();
}

void Profiler::close_window() {
  const RankTimes now = observed_.times();
  Slice mine = slice_of(before_, now);
  mine.gathering = gathering_;
  mine.writing = writing_;
  const double start = seconds_now();
  const std::vector<std::byte> bytes =
      observed_.communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  gathering_ = seconds_now() - start;
  std::vector<Slice> slices(bytes.size() / sizeof mine);
  std::memcpy(slices.data(), bytes.data(), bytes.size());
  if (file_) {
    ProfileLine line = line_of(slices);
    line.step = last_;
    line.steps = steps_;
    line.at = now.total;
    file_->append(profile_line_json(line));
  }
  // All ranks reckon with the same numbers. Who came last to the gathering did not wait for others.
  double gathering = std::numeric_limits<double>::infinity(), writing = 0, longest = 1e-9;
  for (const Slice& slice : slices) {
    gathering = std::min(gathering, slice.gathering);
    writing = std::max(writing, slice.writing);
    longest = std::max(longest, slice.total);
  }
  const double steps = (gathering + writing) / kMostCost * static_cast<double>(steps_) / longest;
  every_ = std::max(
      least_, static_cast<std::int64_t>(std::ceil(std::min(steps, static_cast<double>(1 << 30)))));
  steps_ = 0;
  before_ = now;
  writing_ = seconds_now() - start - gathering_;
}

std::vector<std::string> Profiler::report() {
  if (recording_ && steps_ > 0) close_window();
  return {};
}

}  // namespace lockstep::train
