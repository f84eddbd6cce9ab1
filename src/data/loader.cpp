#include "lockstep/data/loader.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "full_exchange.h"
#include "held_rows.h"
#include "loader_sizes.h"
#include "lockstep/comm/cores.h"
#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "loose_rows.h"
#include "order.h"
#include "prefetch.h"
#include "samples.h"
#include "unit_cache.h"
#include "window_store.h"

namespace lockstep::data {
namespace {

class FileLoader final : public Loader {
 public:
  FileLoader(comm::Communicator& communicator, const Manifest& manifest,
             const LoaderOptions& options)
      : communicator_(communicator),
        options_(options),
        cache_(make_unit_cache(options.cache)),
        samples_(manifest, options, {.cache = cache_}) {
    if (cache_ && communicator.rank() == 0)
      version_ = version_of(manifest, *manifest.find(options.split));
    cuts_ = choose_window(options_, samples_);
  }

  std::int64_t steps_per_epoch() const override { return cuts_.steps; }
  std::int64_t window() const override { return options_.window; }
  std::size_t window_bytes(std::int64_t places) const override {
    return store_ ? store_->bytes() : planned(places).windows;
  }
  std::size_t held_bytes() const override {
    return is_full() ? HeldRows::bytes_for(communicator_.topology(), samples_) : 0;
  }
  std::size_t exchange_bytes() const override { return exchanges() ? planned(0).exchange : 0; }

  std::size_t cache_bytes() const override {
    return cache_ ? cache_->memory(communicator_.topology().local_ranks()) : 0;
  }
  std::string cache_text() const override { return cache_ ? cache_->text() : ""; }

  void start(std::span<const comm::LaneRange> lanes_of_streams, Position at, bool move,
             std::int64_t places) override {
    LOCKSTEP_CHECK(store_ == nullptr, "a loader starts once");
    std::vector<std::int64_t> lanes;
    for (const comm::LaneRange& range : lanes_of_streams)
      for (std::int64_t lane = range.begin; lane < range.end; ++lane) lanes.push_back(lane);
    if (at.step == cuts_.steps) at = {at.epoch + 1, 0};
    LOCKSTEP_CHECK(at.epoch >= 0 && at.step >= 0 && at.step < cuts_.steps, "step {}", at.step);
    const std::int64_t first = number_of(at.epoch, at.step * cuts_.per_step);
    const std::int64_t chunk = order_chunk(samples_.input(), samples_.target());
    if (is_full()) {
      if (cache_) cache_->open(communicator_, version_);
      held_ = std::make_unique<HeldRows>(communicator_, samples_, decoding_threads());
      samples_.hold(held_.get());
    }
    FullExchange::Lanes of_all;
    if (exchanges()) of_all = lanes_of_all(lanes);
    if (!is_full() && move && static_cast<std::int64_t>(lanes.size()) < places)
      lanes.resize(static_cast<std::size_t>(places), kNoLane);
    store_ = std::make_unique<WindowStore>(communicator_, lanes, first, layout());
    if (cache_ && !is_full()) cache_->open(communicator_, version_);
    lanes_move_ = move && store_->shared();
    lanes_leave_ = move && !is_full() && communicator_.topology().nodes() > 1 &&
                   communicator_.min(lanes_move_ ? 1 : 0) == 1;
    for (int part = 0; part < store_->parts(); ++part) {
      if (part != store_->local() && !lanes_move_) continue;
      auto& places_of_part = lane_at_.emplace_back();
      for (int i = 0; i < store_->lanes(part); ++i) {
        places_of_part.push_back(store_->progress(part, i).lane);
        if (places_of_part.back() != kNoLane) place_of_[places_of_part.back()] = {part, i};
      }
    }
    loose_ = std::make_unique<LooseRows>(samples_, options_, cuts_, chunk);
    if (exchanges()) {
      exchange_ = std::make_unique<FullExchange>(communicator_, samples_, *held_, options_, cuts_,
                                                 *store_, std::move(of_all), first, lanes_move_);
    } else {
      options_.threads = is_full() ? 1 : decoding_threads();  // copies need no more
      prefetch_ = std::make_unique<Prefetch>(samples_, options_, cuts_, chunk, *store_);
    }
  }

  bool lanes_move() const override { return lanes_move_; }
  bool lanes_leave() const override { return lanes_leave_; }

  bool window_begins(Position at) const override {
    return at.step == 0 ||
           at.step * cuts_.per_step / cuts_.window != (at.step - 1) * cuts_.per_step / cuts_.window;
  }

  void advance(Position at) override {
    if (exchange_ == nullptr) return;
    const double waited = exchange_->advance(number_of(at.epoch, at.step * cuts_.per_step));
    const std::scoped_lock lock(times_mutex_);
    times_.wait += waited;
  }

  void deal(std::span<const comm::LaneRange> now, std::span<const comm::LaneRange> next,
            Position at) override {
    LOCKSTEP_CHECK(lanes_leave_ && window_begins(at), "step {} begins no window", at.step);
    const comm::LaneRange here = of_node(now), coming = of_node(next);
    const auto is_in = [](std::int64_t lane, const comm::LaneRange& range) {
      return range.begin <= lane && lane < range.end;
    };
    for (auto known = place_of_.begin(); known != place_of_.end();) {
      const auto [lane, place] = *known;
      const bool stays = is_in(lane, here) || is_in(lane, coming);
      if (!stays) give_place(place, kNoLane, 0);
      known = stays ? std::next(known) : place_of_.erase(known);
    }
    take_places(here, at);
    take_places(coming, next_edge(at));
    communicator_.barrier();  // peers may look from here on
  }

  void fill(std::int64_t lane, Position at, std::int64_t micro, void* input, std::int32_t* labels,
            float* targets) override {
    LOCKSTEP_CHECK(at.step < cuts_.steps && micro < options_.accumulate, "step {}", at.step);
    double waited = 0, gathered = 0;
    std::int64_t position = at.step * cuts_.per_step + micro * options_.microbatch;
    const auto known = place_of_.find(lane);
    if (known == place_of_.end() || left_behind(known->second, number_of(at.epoch, position))) {
      {
        const ScopedTimer timer(gathered);
        loose_->fill(lane, at.epoch, position, options_.microbatch, input, labels, targets);
      }
      return count_times(waited, gathered);
    }
    const Place& place = known->second;
    for (std::int64_t done = 0; done < options_.microbatch;) {
      const std::int64_t window = position / cuts_.window, offset = position % cuts_.window;
      const Slot slot = window_at(place, number_of(at.epoch, position), waited);
      const ScopedTimer timer(gathered);
      const std::int64_t count =
          std::min(cuts_.window_samples(window) - offset, options_.microbatch - done);
      gather(slot, offset, count, done, samples_.draw(at.epoch, lane, position), input, labels,
             targets);
      done += count;
      position += count;
    }
    count_times(waited, gathered);
  }

  const LoaderTimes& times() const override {
    const std::scoped_lock lock(times_mutex_);
    told_ = times_;
    told_.bytes_cached = cache_ ? cache_->bytes_read() : 0;
    told_.skipped = samples_.skips().replaced();
    told_.bytes_read = (prefetch_ ? prefetch_->bytes_read() : 0) +
                       (loose_ ? loose_->bytes_read() : 0) + (held_ ? held_->bytes_read() : 0);
    told_.bytes_sent = exchange_ ? exchange_->bytes_sent() : 0;
    return told_;
  }

 private:
  static constexpr std::int64_t kNoLane = -1;
  struct Place {  // of a lane's windows in the store
    int part = 0, index = 0;
  };

  bool is_full() const { return options_.shuffle == Shuffle::kFull; }
  bool exchanges() const { return data::exchanges(communicator_.topology(), options_); }

  // As cut_lanes() deals.
  LoaderBytes planned(std::int64_t places) const {
    std::vector<std::int64_t> lanes;
    for (const comm::LaneRange& range : comm::cut_lanes(options_.lanes, communicator_.size()))
      lanes.push_back(range.size());
    return loader_bytes(communicator_.topology(), lanes, places, options_, samples_, cuts_, nullptr);
  }

  FullExchange::Lanes lanes_of_all(const std::vector<std::int64_t>& mine) {
    const auto own = static_cast<std::int64_t>(mine.size());
    const auto counts = communicator_.gather_all(std::as_bytes(std::span(&own, 1)));
    const auto lanes = communicator_.gather_all(std::as_bytes(std::span(mine)));
    FullExchange::Lanes of_all(static_cast<std::size_t>(communicator_.size()));
    const std::byte *count = counts.data(), *from = lanes.data();
    for (std::vector<std::int64_t>& of_position : of_all) {
      std::int64_t n;
      std::memcpy(&n, count, sizeof n);
      count += sizeof n;
      of_position.resize(static_cast<std::size_t>(n));
      if (n == 0) continue;
      std::memcpy(of_position.data(), from, of_position.size() * sizeof n);
      from += of_position.size() * sizeof n;
    }
    return of_all;
  }

  Slot window_at(const Place& place, std::int64_t number, double& waited) {
    if (prefetch_) return prefetch_->wait(place.part, place.index, number, waited);
    LOCKSTEP_CHECK(store_->progress(place.part, place.index).decoded.load() > number,
                   "window {} before advance()", number);
    return store_->slot(place.part, place.index, number);
  }

  int decoding_threads() const {
    constexpr int kMost = 8;  // unasked: windows are not cut into many more parts
    if (options_.threads > 0) return options_.threads;
    return std::clamp(comm::spare_cores(communicator_, options_.computing), 1, kMost);
  }

  comm::LaneRange of_node(std::span<const comm::LaneRange> by_position) const {
    const comm::Topology& topology = communicator_.topology();
    const auto first = static_cast<std::size_t>(topology.node_begin[topology.node()]);
    const auto end = static_cast<std::size_t>(topology.node_begin[topology.node() + 1]);
    return {by_position[first].begin, by_position[end - 1].end};
  }

  // The first step whose first samples are of another window.
  Position next_edge(Position at) const {
    const std::int64_t position = (at.step * cuts_.per_step / cuts_.window + 1) * cuts_.window;
    const std::int64_t step = (position + cuts_.per_step - 1) / cuts_.per_step;
    return step < cuts_.steps ? Position{at.epoch, step} : Position{at.epoch + 1, 0};
  }

  void give_place(const Place& place, std::int64_t lane, std::int64_t first) {
    lane_at_[static_cast<std::size_t>(place.part)][static_cast<std::size_t>(place.index)] = lane;
    if (place.part == store_->local()) prefetch_->give_place(place.index, lane, first);
  }

  // All ranks of a node choose alike: for each lane that has none, a place of the part that has
  // most of them free. Where none is, the lane is read on the caller's thread.
  void take_places(const comm::LaneRange& lanes, Position from) {
    for (std::int64_t lane = lanes.begin; lane < lanes.end; ++lane) {
      if (place_of_.contains(lane)) continue;
      Place best;
      std::int64_t most = 0;
      for (std::size_t part = 0; part < lane_at_.size(); ++part) {
        const auto& places = lane_at_[part];
        const auto free = std::count(places.begin(), places.end(), kNoLane);
        if (free <= most) continue;
        most = free;
        best = {
            static_cast<int>(part),
            static_cast<int>(std::find(places.begin(), places.end(), kNoLane) - places.begin())};
      }
      if (most == 0) return;
      give_place(best, lane, number_of(from.epoch, from.step * cuts_.per_step));
      place_of_[lane] = best;
    }
  }

  bool left_behind(const Place& place, std::int64_t number) const {
    return number < store_->progress(place.part, place.index).released.load();
  }

  void count_times(double waited, double gathered) {
    const std::scoped_lock lock(times_mutex_);
    times_.wait += waited;
    times_.gather += gathered;
    times_.samples += options_.microbatch;
  }

  std::int64_t number_of(std::int64_t epoch, std::int64_t position) const {
    return epoch * cuts_.windows() + position / cuts_.window;
  }

  SlotLayout layout() const {
    return window_layout(communicator_.topology(), options_, samples_, cuts_);
  }

  // Converts samples [offset, offset + count) of the window's shuffled order to places `to`...; the
  // first has this draw.
  void gather(const Slot& slot, std::int64_t offset, std::int64_t count, std::int64_t to,
              const Draw& draw, void* input, std::int32_t* labels, float* targets) const {
    const Field& in = samples_.input();
    const Field& out = samples_.target();
    const std::size_t in_bytes = samples_.input_bytes();
    const std::int64_t out_elements = samples_.target_elements();
    auto* inputs = static_cast<std::byte*>(input);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::size_t row = slot.order[offset + i];
      const std::int64_t place = to + i;
      samples_.convert_input(slot.input + row * in.sample_bytes(), 1, draw.next(i),
                             inputs + static_cast<std::size_t>(place) * in_bytes);
      samples_.convert_target(slot.target + row * out.sample_bytes(), 1, draw.next(i),
                              labels ? labels + place * out_elements : nullptr,
                              targets ? targets + place * out_elements : nullptr);
    }
  }

  comm::Communicator& communicator_;
  LoaderOptions options_;
  std::shared_ptr<UnitCache> cache_;  // shared with the fields' rows
  std::string version_;               // of the data, for the cache
  Samples samples_;
  Cuts cuts_;
  std::map<std::int64_t, Place> place_of_;          // of lanes that this rank may read
  std::vector<std::vector<std::int64_t>> lane_at_;  // by part and place
  bool lanes_move_ = false, lanes_leave_ = false;
  std::unique_ptr<HeldRows> held_;  // Shuffle::kFull
  std::unique_ptr<WindowStore> store_;
  std::unique_ptr<LooseRows> loose_;
  // One of them, after all that its thread uses.
  std::unique_ptr<Prefetch> prefetch_;
  std::unique_ptr<FullExchange> exchange_;
  mutable std::mutex times_mutex_;
  LoaderTimes times_;
  mutable LoaderTimes told_;
};

}  // namespace

std::unique_ptr<Loader> make_loader(comm::Communicator& communicator, const Manifest& manifest,
                                    const LoaderOptions& options) {
  return std::make_unique<FileLoader>(communicator, manifest, options);
}

}  // namespace lockstep::data
