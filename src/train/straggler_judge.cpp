#include "train/straggler_judge.h"

#include <algorithm>
#include <cmath>

namespace lockstep::train {
namespace {

// Beyond what frequency and placement make of equal machines, and beyond the others' own spread.
constexpr double kFactor = 1.3, kDeviations = 4;
constexpr double kNormal = 1.4826;      // of a median deviation, to a standard deviation
constexpr double kShareOfWindow = 0.1;  // less time than this is nobody's trouble
constexpr double kCoreShare = 0.8;

double median(std::vector<double>& values) {
  const std::size_t half = values.size() / 2;
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(half));
  const double high = values[half];
  if (values.size() % 2 == 1) return high;
  return (high +
          *std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(half))) /
         2;
}

// What is usual among the other ranks, by the median: one more slow rank does not move it.
struct Others {
  double data = 0, compute = 0, exposed = 0, deviation = 0;
  double work() const { return data + compute; }
};

Others others_of(std::span<const RankWindow> window, std::size_t me, bool& any) {
  std::vector<double> work, data, compute, exposed;
  for (std::size_t r = 0; r < window.size(); ++r) {
    const RankWindow& w = window[r];
    if (r == me || w.lanes == 0) continue;
    const auto lanes = static_cast<double>(w.lanes);
    work.push_back((w.data + w.compute) / lanes);
    data.push_back(w.data / lanes);
    compute.push_back(w.compute / lanes);
    exposed.push_back(w.exposed);
  }
  any = !work.empty();
  if (!any) return {};
  Others o;
  const double usual = median(work);
  for (double& w : work) w = std::abs(w - usual);
  o.deviation = kNormal * median(work);
  o.data = median(data);
  o.compute = std::max(usual - o.data, median(compute));
  o.exposed = median(exposed);
  return o;
}

bool is_slow(const RankWindow& mine, const Others& others, bool lanes_move) {
  const auto lanes = static_cast<double>(mine.lanes);
  const double work = (mine.data + mine.compute) / lanes, excess = work - others.work();
  if (!(work > kFactor * others.work())) return false;
  if (!(excess > kDeviations * others.deviation)) return false;
  if (!(excess * lanes / mine.threads > kShareOfWindow * mine.seconds)) return false;
  // Whoever waits longer than others holds nobody up.
  return lanes_move || mine.exposed <= others.exposed;
}

}  // namespace

std::vector<Finding> StragglerJudge::judge(std::span<const RankWindow> window) {
  std::vector<Finding> findings;
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    Rank& rank = ranks_[r];
    const RankWindow& mine = window[r];
    bool comparable = false;
    const Others others = others_of(window, r, comparable);
    if (!comparable || mine.lanes == 0) continue;
    if (is_slow(mine, others, lanes_move_) == rank.named) {
      rank = {.named = rank.named};
      continue;
    }
    const auto lanes = static_cast<double>(mine.lanes);
    ++rank.streak;
    rank.factor += (mine.data + mine.compute) / lanes / others.work();
    rank.data += mine.data / lanes - others.data;
    rank.compute += mine.compute / lanes - others.compute;
    rank.sampled += mine.sampled;
    rank.core += mine.sampled_core;
    if (rank.streak < kWindows) continue;
    Finding f{.position = static_cast<int>(r), .slow = !rank.named};
    f.factor = rank.factor / kWindows;
    if (rank.sampled > 0) f.core = rank.core / rank.sampled;
    if (rank.data > rank.compute) {
      f.at = SlowAt::kData;
    } else if (f.core >= 0 && f.core < kCoreShare) {
      f.at = SlowAt::kCore;
    }
    findings.push_back(f);
    rank = {.named = !rank.named};
  }
  return findings;
}

}  // namespace lockstep::train
