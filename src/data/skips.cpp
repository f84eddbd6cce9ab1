#include "skips.h"

#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/core/log.h"

namespace lockstep::data {
namespace {

constexpr std::int64_t kTold = 3;  // by each process

}  // namespace

Skips::Skips(std::string split, std::int64_t samples, double most)
    : split_(std::move(split)), samples_(samples), most_(most) {}

std::int64_t Skips::next(std::int64_t row) const {
  const std::scoped_lock lock(mutex_);
  for (int turn = 0; turn < 2; ++turn) {  // a range that ends at the last row goes on at the first
    const auto after = bad_.upper_bound(row);
    if (after == bad_.begin()) return row;
    const std::int64_t end = std::prev(after)->second;
    if (row >= end) return row;
    if (end < samples_) return end;
    row = 0;
  }
  return row;
}

void Skips::add(std::int64_t row, const std::string& why) {
  const std::scoped_lock lock(mutex_);
  const auto after = bad_.upper_bound(row);
  if (after != bad_.begin() && row < std::prev(after)->second) return;  // another thread told
  auto [range, inserted] = bad_.emplace(row, row + 1);
  if (range != bad_.begin() && std::prev(range)->second == row) {
    const auto before = std::prev(range);
    before->second = range->second;
    bad_.erase(range);
    range = before;
  }
  if (const auto next = std::next(range); next != bad_.end() && next->first == range->second) {
    range->second = next->second;
    bad_.erase(next);
  }
  ++rows_;
  const double allowed = std::max(most_ * static_cast<double>(samples_), 1.0);
  if (static_cast<double>(rows_) > allowed || rows_ == samples_)
    throw DataError(
        "{} samples of split {} cannot be trusted, more than data.max_skipped = {} of {}; the last "
        "of them: {}",
        rows_, split_, most_, samples_, why);
  if (rows_ > kTold) return;
  log::warning(fmt::format("sample {} of split {} is skipped, the next one takes its place: {}{}",
                           row, split_, why,
                           rows_ == kTold ? "; further ones are counted, not told" : ""));
}

std::int64_t Skips::rows() const {
  const std::scoped_lock lock(mutex_);
  return rows_;
}

}  // namespace lockstep::data
