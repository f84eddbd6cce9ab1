#include "loader_sizes.h"

#include <algorithm>
#include <numeric>

#include "full_exchange.h"
#include "held_rows.h"

namespace lockstep::data {

Cuts choose_window(LoaderOptions& options, const Samples& samples) {
  const std::int64_t asked = options.window;
  if (asked <= 0)
    options.window = default_window(samples.input(), samples.target(), options.microbatch);
  Cuts cuts = make_cuts(samples.count(), options);
  if (options.shuffle != Shuffle::kFull) return cuts;
  options.window = full_window(asked, samples.input(), samples.target(), cuts);
  return make_cuts(samples.count(), options);
}

bool exchanges(const comm::Topology& topology, const LoaderOptions& options) {
  return options.shuffle == Shuffle::kFull && topology.nodes() > 1;
}

SlotLayout window_layout(const comm::Topology& topology, const LoaderOptions& options,
                         const Samples& samples, const Cuts& cuts) {
  return slot_layout(std::min(options.window, cuts.segment), samples.input().sample_bytes(),
                     samples.target().sample_bytes(),
                     exchanges(topology, options) ? FullExchange::kSlots : 2);
}

LoaderBytes loader_bytes(const comm::Topology& topology, std::span<const std::int64_t> lanes,
                         std::int64_t places, const LoaderOptions& options, const Samples& samples,
                         const Cuts& cuts, const UnitCache* cache) {
  const bool full = options.shuffle == Shuffle::kFull;
  const std::int64_t mine = lanes[static_cast<std::size_t>(topology.position)];
  LoaderBytes bytes;
  bytes.windows = WindowStore::bytes_for(full ? mine : std::max(mine, places),
                                         window_layout(topology, options, samples, cuts));
  if (full) bytes.held = HeldRows::bytes_for(topology, samples);
  if (exchanges(topology, options)) {
    FullExchange::Lanes of_all;
    for (const std::int64_t count : lanes) of_all.emplace_back(static_cast<std::size_t>(count));
    bytes.exchange = FullExchange::bytes_for(topology, of_all, samples, cuts);
  }
  if (cache != nullptr) {
    bytes.cache = cache->memory(topology.local_ranks());
    bytes.cache_text = cache->text();
  }
  return bytes;
}

struct LoaderPlan::Impl {
  Impl(const Manifest& manifest, const LoaderOptions& asked)
      : options(asked),
        cache(make_unit_cache(asked.cache)),
        samples(manifest, asked, {.cache = cache}) {}

  const LoaderOptions options;
  std::shared_ptr<UnitCache> cache;
  const Samples samples;
};

LoaderPlan::LoaderPlan(const Manifest& manifest, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(manifest, options)) {}
LoaderPlan::~LoaderPlan() = default;

LoaderBytes LoaderPlan::bytes(const comm::Topology& topology, std::span<const std::int64_t> lanes,
                              std::int64_t places) const {
  LoaderOptions options = impl_->options;
  options.lanes = std::accumulate(lanes.begin(), lanes.end(), std::int64_t{0});
  // A run refuses a batch that the split has not; here only sizes are asked for.
  const std::int64_t most = std::max<std::int64_t>(
      1, impl_->samples.count() / (options.accumulate * options.microbatch));
  LoaderOptions cut = options;
  cut.lanes = std::min(options.lanes, most);
  cut.batch = cut.lanes * options.accumulate * options.microbatch;
  const Cuts cuts = choose_window(cut, impl_->samples);
  options.window = cut.window;
  return loader_bytes(topology, lanes, places, options, impl_->samples, cuts, impl_->cache.get());
}

}  // namespace lockstep::data
