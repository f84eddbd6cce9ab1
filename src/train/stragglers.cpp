#include "train/stragglers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>

#include "lockstep/core/host.h"
#include "lockstep/core/log.h"
#include "lockstep/core/units.h"

namespace lockstep::train {
namespace {

// Shorter windows would judge the scheduler's turns, not the rank.
constexpr double kLeastSeconds = 0.5;
// Where ranks wait for more than this share, with nobody slow at work, the network is measured:
// once they have done so for some windows, and a few times in a run.
constexpr double kWaitingShare = 0.4;
constexpr int kWaitingWindows = 5, kLooks = 3;
constexpr double kSlowLink = 3;  // of the median bandwidth

using Host = std::array<char, 64>;

std::string advice(const Finding& f) {
  switch (f.at) {
    case SlowAt::kData:
      return "at getting its samples: look at its way to the file system and its reader's core";
    case SlowAt::kCore:
      return fmt::format(
          "at computing, and had a core for {:.0f} % of that time: its core is shared, or it "
          "sleeps, "
          "swaps or is held back by a limit",
          100 * f.core);
    case SlowAt::kCompute:
      break;
  }
  return "at computing, with its core to itself: look at its clock, heat and memory";
}

}  // namespace

std::string slow_link_text(const comm::PairLinks& links,
                           const std::vector<std::string>& who_by_rank) {
  if (links.slow_rank < 0 || !(links.worst.bandwidth * kSlowLink < links.median.bandwidth))
    return "";
  return fmt::format(
      "the network between {} and {} gives {}/s, where the median pair of nodes gets {}/s",
      who_by_rank[links.slow_rank], who_by_rank[links.slow_peer], bytes_text(links.worst.bandwidth),
      bytes_text(links.median.bandwidth));
}

Stragglers::Stragglers(const Observed& observed)
    : observed_(observed),
      judge_(observed.communicator.size(),
             observed.run.parallel.options.assignment != parallel::Assignment::kStatic),
      every_(observed.run.log.window) {}

void Stragglers::begun(std::int64_t) {
  comm::Communicator& communicator = observed_.communicator;
  if (communicator.size() == 1) return;
  Host mine{};
  std::strncpy(mine.data(), host_name().c_str(), mine.size() - 1);
  const std::vector<std::byte> bytes = communicator.gather_all(std::as_bytes(std::span(mine)));
  const comm::Topology& topology = communicator.topology();
  for (int p = 0; p < topology.ranks(); ++p) {
    Host host;
    std::memcpy(host.data(), bytes.data() + static_cast<std::size_t>(p) * sizeof host, sizeof host);
    who_.push_back(fmt::format("rank {} (host {})", topology.rank_at[p], host.data()));
  }
  times_before_ = observed_.times();
  passes_before_ = observed_.passes();
}

void Stragglers::ended(const Stretch& stretch) {
  if (observed_.communicator.size() == 1) return;
  steps_ += stretch.steps;
  seconds_ += stretch.seconds;
  if (steps_ >= every_) compare(stretch.step);
}

void Stragglers::compare(std::int64_t step) {
  const RankTimes times = observed_.times();
  const PassTimes passes = observed_.passes();
  RankWindow mine;
  mine.lanes = passes.passes - passes_before_.passes;
  mine.data = passes.data - passes_before_.data;
  mine.compute = passes.compute - passes_before_.compute;
  mine.threads = static_cast<double>(observed_.run.run.threads);
  mine.exposed = times.exposed - times_before_.exposed;
  mine.seconds = seconds_;
  mine.sampled = passes.sampled - passes_before_.sampled;
  mine.sampled_core = passes.sampled_cpu - passes_before_.sampled_cpu;
  times_before_ = times;
  passes_before_ = passes;

  const std::vector<std::byte> bytes =
      observed_.communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  std::vector<RankWindow> window(bytes.size() / sizeof mine);
  std::memcpy(window.data(), bytes.data(), bytes.size());
  for (const Finding& finding : judge_.judge(window)) say(step, finding);
  look_at_links(step, window);

  // The next window takes as many steps as are long enough; all ranks reckon with the same numbers.
  double longest = 1e-6;
  for (const RankWindow& w : window) longest = std::max(longest, w.seconds);
  const double steps = std::ceil(kLeastSeconds * static_cast<double>(steps_) / longest);
  every_ = std::max(observed_.run.log.window, static_cast<std::int64_t>(steps));
  steps_ = 0;
  seconds_ = 0;
}

// A slow link makes everybody wait, its own ends too: it cannot be seen in anybody's work.
void Stragglers::look_at_links(std::int64_t step, std::span<const RankWindow> window) {
  if (observed_.communicator.topology().nodes() < 3 || looks_ == kLooks) return;
  const bool all_wait = std::ranges::all_of(window, [](const RankWindow& w) {
    return w.lanes == 0 || w.exposed > kWaitingShare * w.seconds;
  });
  waiting_windows_ = all_wait ? waiting_windows_ + 1 : 0;
  if (waiting_windows_ < kWaitingWindows << looks_) return;
  waiting_windows_ = 0;
  ++looks_;
  const comm::PairLinks links =
      comm::measure_pairs(observed_.communicator, comm::PairsOf::kNeighbouringNodes);
  const comm::Topology& topology = observed_.communicator.topology();
  std::vector<std::string> by_rank(who_.size());
  for (std::size_t p = 0; p < who_.size(); ++p) by_rank[topology.rank_at[p]] = who_[p];
  const std::string text = slow_link_text(links, by_rank);
  if (text.empty()) return;
  const std::string why = fmt::format("all ranks wait for much of the time, and {}", text);
  log::warn("{}", why);
  record(step, "slow network", why);
  looks_ = kLooks;
}

void Stragglers::say(std::int64_t step, const Finding& f) {
  const std::string& who = who_[f.position];
  if (!f.slow) {
    const std::string why = fmt::format("{} is as fast as the others again", who);
    log::info("step {}: {}", step, why);
    return record(step, "slow rank recovered", why);
  }
  const std::string why = fmt::format("{} is slow: {:.1f} times the others' time for a lane, {}",
                                      who, f.factor, advice(f));
  log::warn("step {}: {}", step, why);
  record(step, "slow rank", why);
}

void Stragglers::record(std::int64_t step, const char* event, const std::string& why) {
  lines_.push_back(fmt::format("step {}: {}", step, why));
  if (observed_.note) observed_.note({step, event, why});
}

}  // namespace lockstep::train
