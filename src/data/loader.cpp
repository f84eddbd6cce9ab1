#include "lockstep/data/loader.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "loose_rows.h"
#include "order.h"
#include "prefetch.h"
#include "samples.h"
#include "window_store.h"

namespace lockstep::data {
namespace {

class FileLoader final : public Loader {
 public:
  FileLoader(comm::Communicator& communicator, const Manifest& manifest,
             const LoaderOptions& options)
      : communicator_(communicator), options_(options), samples_(manifest, options) {
    if (options_.window <= 0)
      options_.window = default_window(samples_.input(), samples_.target(), options_.microbatch);
    cuts_ = make_cuts(samples_.count(), options_);
  }

  std::int64_t steps_per_epoch() const override { return cuts_.steps; }
  std::int64_t window() const override { return options_.window; }
  std::size_t window_bytes() const override {
    if (store_) return store_->bytes();
    const auto cut = comm::cut_lanes(options_.lanes, communicator_.size());
    return WindowStore::bytes_for(
        cut[static_cast<std::size_t>(communicator_.topology().position)].size(), layout());
  }

  void start(std::span<const comm::LaneRange> lanes_of_streams, Position at, bool move) override {
    LOCKSTEP_CHECK(prefetch_ == nullptr, "a loader starts once");
    std::vector<std::int64_t> lanes;
    for (const comm::LaneRange& range : lanes_of_streams)
      for (std::int64_t lane = range.begin; lane < range.end; ++lane) lanes.push_back(lane);
    if (at.step == cuts_.steps) at = {at.epoch + 1, 0};
    LOCKSTEP_CHECK(at.epoch >= 0 && at.step >= 0 && at.step < cuts_.steps, "step {}", at.step);
    const std::int64_t first = number_of(at.epoch, at.step * cuts_.per_step);
    const std::int64_t chunk = order_chunk(samples_.input(), samples_.target());
    store_ = std::make_unique<WindowStore>(communicator_, lanes, first, layout());
    lanes_move_ = move && store_->shared();
    for (int part = 0; part < store_->parts(); ++part) {
      if (part != store_->local() && !lanes_move_) continue;
      for (int i = 0; i < store_->lanes(part); ++i)
        place_of_[store_->progress(part, i).lane] = {part, i};
    }
    loose_ = std::make_unique<LooseRows>(samples_, options_, cuts_, chunk);
    prefetch_ = std::make_unique<Prefetch>(samples_, options_, cuts_, chunk, *store_);
  }

  bool lanes_move() const override { return lanes_move_; }

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
      const Slot slot =
          prefetch_->wait(place.part, place.index, number_of(at.epoch, position), waited);
      const ScopedTimer timer(gathered);
      const std::int64_t count =
          std::min(cuts_.window_samples(window) - offset, options_.microbatch - done);
      gather(slot, offset, count, done, input, labels, targets);
      done += count;
      position += count;
    }
    count_times(waited, gathered);
  }

  const LoaderTimes& times() const override {
    const std::scoped_lock lock(times_mutex_);
    told_ = times_;
    told_.bytes_read = prefetch_ ? prefetch_->bytes_read() + loose_->bytes_read() : 0;
    return told_;
  }

 private:
  struct Place {  // of a lane's windows in the store
    int part = 0, index = 0;
  };
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
    return slot_layout(cuts_.window, samples_.input().sample_bytes(),
                       samples_.target().sample_bytes());
  }

  // Converts samples [offset, offset + count) of the window's shuffled order to places `to`...
  void gather(const Slot& slot, std::int64_t offset, std::int64_t count, std::int64_t to,
              void* input, std::int32_t* labels, float* targets) const {
    const Field& in = samples_.input();
    const Field& out = samples_.target();
    const std::size_t in_bytes = samples_.input_bytes();
    const std::int64_t out_elements = out.sample.elements();
    auto* inputs = static_cast<std::byte*>(input);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::size_t row = slot.order[offset + i];
      const std::int64_t place = to + i;
      samples_.convert_input(slot.input + row * in.sample_bytes(), 1,
                             inputs + static_cast<std::size_t>(place) * in_bytes);
      samples_.convert_target(slot.target + row * out.sample_bytes(), 1,
                              labels ? labels + place * out_elements : nullptr,
                              targets ? targets + place * out_elements : nullptr);
    }
  }

  comm::Communicator& communicator_;
  LoaderOptions options_;
  Samples samples_;
  Cuts cuts_;
  std::map<std::int64_t, Place> place_of_;  // of lanes that this rank may read
  bool lanes_move_ = false;
  std::unique_ptr<WindowStore> store_;
  std::unique_ptr<LooseRows> loose_;
  std::unique_ptr<Prefetch> prefetch_;  // after all that its thread uses
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
