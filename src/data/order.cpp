#include "order.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "lockstep/core/error.h"
#include "lockstep/core/philox.h"

namespace lockstep::data {
namespace {

// A lane and a window that no run has name the stream of the chunks' permutation.
constexpr std::uint64_t kChunkStream = std::numeric_limits<std::uint64_t>::max();

constexpr std::int64_t kWindowBytes = 16 << 20;
constexpr std::int64_t kMostWindowSamples = 8192;
constexpr std::int64_t kContiguousChunkBytes = 256 << 10;
constexpr std::int64_t kFullWindowBytes = 256 << 10;

}  // namespace

std::string_view name_of(Shuffle shuffle) {
  switch (shuffle) {
    case Shuffle::kNone:
      return "none";
    case Shuffle::kWindow:
      return "window";
    case Shuffle::kFull:
      return "full";
  }
  return "";
}

EpochOrder::EpochOrder(std::int64_t samples, std::int64_t chunk, const LoaderOptions& options,
                       std::int64_t epoch)
    : samples_(samples), chunk_(chunk) {
  if (options.shuffle == Shuffle::kFull) {
    rows_.emplace(samples, options.seed, static_cast<std::uint64_t>(epoch));
    return;
  }
  const std::int64_t chunks = (samples + chunk - 1) / chunk;
  LOCKSTEP_CHECK(chunk > 0 && chunks <= std::numeric_limits<std::uint32_t>::max(), "{} chunks",
                 chunks);
  if (options.shuffle == Shuffle::kNone) return;
  chunks_.resize(static_cast<std::size_t>(chunks));
  permutation(options.seed, static_cast<std::uint64_t>(epoch), kChunkStream, kChunkStream,
              static_cast<std::uint32_t>(chunks), chunks_.data());
  partial_ = samples - (chunks - 1) * chunk;
  partial_at_ = std::find(chunks_.begin(), chunks_.end(), static_cast<std::uint32_t>(chunks - 1)) -
                chunks_.begin();
}

EpochOrder::Run EpochOrder::run(std::int64_t position) const {
  if (rows_) return {(*rows_)(position), 1};
  if (chunks_.empty()) {
    const std::int64_t offset = position % chunk_;
    return {position, std::min(chunk_ - offset, samples_ - position)};
  }
  const std::int64_t partial_begin = partial_at_ * chunk_;
  const std::int64_t partial_end = partial_begin + partial_;
  // Behind the partial chunk positions are as if it were whole.
  const std::int64_t whole = position < partial_end ? position : position - partial_ + chunk_;
  const std::int64_t place = whole / chunk_, offset = whole % chunk_;
  const std::int64_t rows = place == partial_at_ ? partial_ : chunk_;
  return {chunks_[static_cast<std::size_t>(place)] * chunk_ + offset, rows - offset};
}

std::int64_t Cuts::window_samples(std::int64_t w) const {
  return std::min(window, segment - w * window);
}

Cuts make_cuts(std::int64_t samples, const LoaderOptions& o) {
  if (o.lanes < 1 || o.accumulate < 1 || o.microbatch < 1 ||
      o.batch != o.lanes * o.accumulate * o.microbatch)
    throw UserError(
        "a batch of {} is not lanes {} x accumulate {} x microbatch {}; change train.batch",
        o.batch, o.lanes, o.accumulate, o.microbatch);
  if (samples < o.batch)
    throw UserError(
        "split \"{}\" has {} samples, fewer than one batch of {}; set train.batch to at "
        "most {}, a multiple of train.lanes, or give more data",
        o.split, samples, o.batch, samples);
  LOCKSTEP_CHECK(o.window > 0 && o.window <= std::numeric_limits<std::uint32_t>::max(), "window {}",
                 o.window);
  Cuts cuts;
  cuts.steps = samples / o.batch;
  cuts.per_step = o.batch / o.lanes;
  cuts.segment = cuts.steps * cuts.per_step;
  cuts.window = std::min(o.window, cuts.segment);
  return cuts;
}

void shuffle_window(const LoaderOptions& options, std::int64_t epoch, std::int64_t lane,
                    std::int64_t window, std::uint32_t count, std::uint32_t* out) {
  if (options.shuffle != Shuffle::kWindow) {
    std::iota(out, out + count, 0U);
    return;
  }
  permutation(options.seed, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(lane),
              static_cast<std::uint64_t>(window), count, out);
}

std::int64_t order_chunk(const Field& input, const Field& target) {
  const Field& larger = input.sample_bytes() >= target.sample_bytes() ? input : target;
  if (larger.chunk > 0) return std::min(larger.chunk, std::max<std::int64_t>(larger.count, 1));
  return std::max<std::int64_t>(
      1, kContiguousChunkBytes / static_cast<std::int64_t>(larger.sample_bytes()));
}

std::int64_t default_window(const Field& input, const Field& target, std::int64_t microbatch) {
  const auto row_bytes = static_cast<std::int64_t>(input.sample_bytes() + target.sample_bytes());
  return std::max(std::min(kWindowBytes / row_bytes, kMostWindowSamples), microbatch);
}

std::int64_t full_window(std::int64_t asked, const Field& input, const Field& target,
                         const Cuts& cuts) {
  const auto row_bytes = static_cast<std::int64_t>(input.sample_bytes() + target.sample_bytes());
  const std::int64_t samples = asked > 0 ? asked : kFullWindowBytes / row_bytes;
  return std::clamp<std::int64_t>(samples / cuts.per_step, 1, cuts.steps) * cuts.per_step;
}

std::vector<std::int64_t> lane_order(std::int64_t samples, std::int64_t chunk,
                                     const LoaderOptions& options, std::int64_t epoch,
                                     std::int64_t lane) {
  const Cuts cuts = make_cuts(samples, options);
  const EpochOrder epoch_order(samples, chunk, options, epoch);
  std::vector<std::int64_t> rows;
  rows.reserve(static_cast<std::size_t>(cuts.segment));
  std::vector<std::uint32_t> shuffled(static_cast<std::size_t>(cuts.window));
  for (std::int64_t w = 0; w < cuts.windows(); ++w) {
    const std::int64_t count = cuts.window_samples(w);
    shuffle_window(options, epoch, lane, w, static_cast<std::uint32_t>(count), shuffled.data());
    const std::int64_t begin = lane * cuts.segment + w * cuts.window;
    for (std::int64_t i = 0; i < count; ++i)
      rows.push_back(epoch_order.run(begin + shuffled[static_cast<std::size_t>(i)]).row);
  }
  return rows;
}

}  // namespace lockstep::data
