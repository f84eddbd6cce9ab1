#include "loose_rows.h"

#include <algorithm>

namespace lockstep::data {

LooseRows::LooseRows(const Samples& samples, const LoaderOptions& options, const Cuts& cuts,
                     std::int64_t chunk)
    : samples_(samples),
      options_(options),
      cuts_(cuts),
      chunk_(chunk),
      input_(samples.input().sample_bytes()),
      target_(samples.target().sample_bytes()) {}

const EpochOrder& LooseRows::order_of(std::int64_t epoch) {
  const auto known = orders_.find(epoch);
  if (known != orders_.end()) return known->second;
  while (orders_.size() >= 2) orders_.erase(orders_.begin());
  return orders_.try_emplace(epoch, samples_.count(), chunk_, options_, epoch).first->second;
}

// In the file's order, so that each chunk is decoded once.
void LooseRows::find_rows(std::int64_t lane, std::int64_t epoch, std::int64_t position,
                          std::int64_t count) {
  const EpochOrder& order = order_of(epoch);
  rows_.clear();
  std::int64_t shuffled_window = -1;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t window = (position + i) / cuts_.window;
    const std::int64_t offset = (position + i) % cuts_.window;
    if (window != shuffled_window) {
      const auto size = static_cast<std::uint32_t>(cuts_.window_samples(window));
      shuffled_.resize(size);
      shuffle_window(options_, epoch, lane, window, size, shuffled_.data());
      shuffled_window = window;
    }
    const std::int64_t begin = lane * cuts_.segment + window * cuts_.window;
    rows_.push_back({order.run(begin + shuffled_[static_cast<std::size_t>(offset)]).row, i});
  }
  std::sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) { return a.row < b.row; });
}

void LooseRows::fill(std::int64_t lane, std::int64_t epoch, std::int64_t position,
                     std::int64_t count, void* input, std::int32_t* labels, float* targets) {
  const std::scoped_lock lock(mutex_);
  find_rows(lane, epoch, position, count);
  const std::size_t input_bytes = samples_.input_bytes();
  const std::int64_t target_elements = samples_.target_elements();
  for (const Row& row : rows_) {
    bytes_read_ += samples_.read(row.row, 1, input_.data(), target_.data(), kept_);
    const Draw draw = samples_.draw(epoch, lane, position + row.place);
    samples_.convert_input(
        input_.data(), 1, draw,
        static_cast<std::byte*>(input) + static_cast<std::size_t>(row.place) * input_bytes);
    samples_.convert_target(target_.data(), 1, draw,
                            labels ? labels + row.place * target_elements : nullptr,
                            targets ? targets + row.place * target_elements : nullptr);
  }
}

std::int64_t LooseRows::bytes_read() const {
  const std::scoped_lock lock(mutex_);
  return bytes_read_;
}

}  // namespace lockstep::data
