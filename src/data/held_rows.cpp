#include "held_rows.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "lockstep/core/host.h"
#include "lockstep/core/memory.h"
#include "lockstep/core/units.h"

namespace lockstep::data {
namespace {

constexpr std::size_t kLine = 64;
std::size_t to_line(std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

std::int64_t share_begin(std::int64_t rows, int position, int ranks) {
  return rows * position / ranks;
}

// Rows of a thread's task, and between two words with the other ranks: so that none waits for
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

HeldRows::HeldRows(comm::Communicator& communicator, const Samples& samples, int threads)
    : topology_(communicator.topology()),
      rows_(samples.count()),
      input_bytes_(samples.input().sample_bytes()),
      target_bytes_(samples.target().sample_bytes()),
      first_(begin_of(topology_.node_begin[topology_.node()])),
      end_(begin_of(topology_.node_begin[topology_.node() + 1])) {
  const events::Span span(events::Kind::kStart, "reading the dataset into memory");
  communicator.together([&] { refuse_what_does_not_fit(); });
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
  DecodePool pool(threads);
  for (std::int64_t round = 0; round < rounds; ++round) {
    const std::int64_t first = std::min(end, begin + round * a_round);
    const std::int64_t last = std::min(end, first + a_round);
    communicator.together([&] {
      if (first < last) bytes_read_ += read(samples, first, last, pool);
    });
  }
}

// One rank of a node speaks for all, before any has taken something.
void HeldRows::refuse_what_does_not_fit() const {
  if (topology_.local() != 0) return;
  const std::uint64_t needed =
      static_cast<std::uint64_t>(end_ - first_) * (input_bytes_ + target_bytes_);
  const std::uint64_t free = free_memory();
  if (needed <= free) return;
  throw UserError(
      "this node's share of the samples, which data.shuffle = \"full\" holds in memory, needs {}, "
      "and {} are free on {}; use more nodes, or data.shuffle = \"window\", which leaves the "
      "samples in their files",
      bytes_text(static_cast<double>(needed)), bytes_text(static_cast<double>(free)), host_name());
}

// Returns the bytes that came from storage. Tasks begin with chunks, which are decoded once each.
std::int64_t HeldRows::read(const Samples& samples, std::int64_t first, std::int64_t end,
                            DecodePool& pool) {
  const auto row_bytes = static_cast<std::int64_t>(input_bytes_ + target_bytes_);
  const std::int64_t chunk = order_chunk(samples.input(), samples.target());
  const std::int64_t at_once = std::max<std::int64_t>(1, kReadBytes / (row_bytes * chunk)) * chunk;
  const std::int64_t before = first / at_once;
  std::vector<Samples::Kept> kept(static_cast<std::size_t>(pool.threads()));
  std::atomic<std::int64_t> bytes{0};
  pool.run((end - 1) / at_once + 1 - before, [&](std::int64_t task, int thread) {
    const std::int64_t row = std::max(first, (before + task) * at_once);
    const std::int64_t rows = std::min(end, (before + task + 1) * at_once) - row;
    bytes +=
        samples.read(row, rows, const_cast<std::byte*>(input(row)),
                     const_cast<std::byte*>(target(row)), kept[static_cast<std::size_t>(thread)]);
  });
  return bytes;
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
