#include "held_rows.h"

#include <algorithm>
#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/core/events.h"

namespace lockstep::data {
namespace {

constexpr std::size_t kLine = 64;
std::size_t to_line(std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

std::int64_t share_begin(std::int64_t rows, int position, int ranks) {
  return rows * position / ranks;
}

// Rows that are read at once, and between two words with the other ranks: so that none waits for
// another longer than a few gigabytes take.
constexpr std::size_t kReadBytes = 4 << 20;
constexpr std::size_t kRoundBytes = std::size_t{2} << 30;

}  // namespace

std::size_t HeldRows::bytes_for(const comm::Topology& topology, const Samples& samples) {
  const std::int64_t rows = share_begin(samples.count(), topology.position + 1, topology.ranks()) -
                            share_begin(samples.count(), topology.position, topology.ranks());
  const auto n = static_cast<std::size_t>(rows);
  return to_line(n * samples.input().sample_bytes()) + n * samples.target().sample_bytes();
}

HeldRows::HeldRows(comm::Communicator& communicator, const Samples& samples)
    : topology_(communicator.topology()),
      rows_(samples.count()),
      input_bytes_(samples.input().sample_bytes()),
      target_bytes_(samples.target().sample_bytes()),
      first_(begin_of(topology_.node_begin[topology_.node()])),
      end_(begin_of(topology_.node_begin[topology_.node() + 1])) {
  const events::Span span(events::Kind::kStart, "reading the dataset into memory");
  communicator.together([&] {
    try {
      window_ = communicator.make_window(bytes_for(topology_, samples), "this node's samples");
    } catch (const UserError& error) {
      throw UserError(
          "{}. Or set data.shuffle = \"window\", which leaves the samples in their files",
          error.what());
    }
  });
  const std::int64_t begin = begin_of(topology_.position), end = begin_of(topology_.position + 1);
  const auto row_bytes = static_cast<std::int64_t>(input_bytes_ + target_bytes_);
  const std::int64_t a_round = std::max<std::int64_t>(1, kRoundBytes / row_bytes);
  const std::int64_t rounds = communicator.max((end - begin + a_round - 1) / a_round);
  for (std::int64_t round = 0; round < rounds; ++round) {
    communicator.together([&] {
      read(samples, std::min(end, begin + round * a_round),
           std::min(end, begin + (round + 1) * a_round));
    });
  }
}

void HeldRows::read(const Samples& samples, std::int64_t first, std::int64_t end) {
  const auto row_bytes = static_cast<std::int64_t>(input_bytes_ + target_bytes_);
  const std::int64_t at_once = std::max<std::int64_t>(1, kReadBytes / row_bytes);
  Samples::Kept kept;
  for (std::int64_t row = first; row < end; row += at_once) {
    const std::int64_t count = std::min(at_once, end - row);
    auto* const inputs = const_cast<std::byte*>(input(row));
    auto* const targets = const_cast<std::byte*>(target(row));
    bytes_read_ += samples.read(row, count, inputs, targets, kept);
  }
}

// The last position whose share begins at the row or before it.
int HeldRows::position_of(std::int64_t row) const {
  return static_cast<int>(((row + 1) * topology_.ranks() - 1) / rows_);
}

std::int64_t HeldRows::begin_of(int position) const {
  return share_begin(rows_, position, topology_.ranks());
}

// A share is its rows' inputs, and then their targets.
std::byte* HeldRows::part(std::int64_t row, std::int64_t& first, std::int64_t& rows) const {
  const int position = position_of(row);
  first = begin_of(position);
  rows = begin_of(position + 1) - first;
  return window_->part(position - topology_.node_begin[topology_.node()]);
}

const std::byte* HeldRows::input(std::int64_t row) const {
  std::int64_t first, rows;
  return part(row, first, rows) + static_cast<std::size_t>(row - first) * input_bytes_;
}

const std::byte* HeldRows::target(std::int64_t row) const {
  std::int64_t first, rows;
  std::byte* const base = part(row, first, rows);
  return base + to_line(static_cast<std::size_t>(rows) * input_bytes_) +
         static_cast<std::size_t>(row - first) * target_bytes_;
}

void HeldRows::copy(std::int64_t first, std::int64_t count, std::byte* input_out,
                    std::byte* target_out) const {
  for (std::int64_t row = first; row < first + count; ++row) {
    std::memcpy(input_out, input(row), input_bytes_);
    std::memcpy(target_out, target(row), target_bytes_);
    input_out += input_bytes_;
    target_out += target_bytes_;
  }
}

}  // namespace lockstep::data
