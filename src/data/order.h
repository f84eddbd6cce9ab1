// The order of an epoch (NUMERICS.md 15): permuted chunks laid end to end, or all rows permuted,
// cut into one segment per lane, cut into windows. Pure arithmetic on (seed, epoch, lane); knows no
// file and no rank.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "lockstep/data/loader.h"
#include "row_permutation.h"

namespace lockstep::data {

// Where the chunks of one epoch lie; with Shuffle::kFull, where its rows do.
class EpochOrder {
 public:
  EpochOrder(std::int64_t samples, std::int64_t chunk, const LoaderOptions& options,
             std::int64_t epoch);
  // The row in the split at a position of the epoch, and how many consecutive rows follow in the
  // same chunk, itself included.
  struct Run {
    std::int64_t row = 0, count = 0;
  };
  Run run(std::int64_t position) const;

 private:
  std::int64_t samples_, chunk_;
  std::optional<RowPermutation> rows_;  // Shuffle::kFull
  std::vector<std::uint32_t> chunks_;   // empty: file order
  std::int64_t partial_at_ = 0;         // place in the permutation of the last chunk...
  std::int64_t partial_ = 0;            // ...which has this many rows
};

// The cuts that all epochs share.
struct Cuts {
  std::int64_t segment = 0;   // samples of a lane in an epoch
  std::int64_t per_step = 0;  // samples of a lane in a step
  std::int64_t window = 0;    // samples of a window
  std::int64_t steps = 0;     // of an epoch
  std::int64_t windows() const { return (segment + window - 1) / window; }
  std::int64_t window_samples(std::int64_t w) const;
};
// Throws UserError if the options do not fit the number of samples. options.window > 0.
Cuts make_cuts(std::int64_t samples, const LoaderOptions& options);

// Samples of a window with Shuffle::kFull, where windows decide nothing but how much travels at
// once: whole steps of a lane, at least one, as many as fit into `asked` samples; 0: into 256 KiB.
std::int64_t full_window(std::int64_t asked, const Field& input, const Field& target,
                         const Cuts& cuts);

// In which order the rows of a window are handed out: indices into the window.
void shuffle_window(const LoaderOptions& options, std::int64_t epoch, std::int64_t lane,
                    std::int64_t window, std::uint32_t count, std::uint32_t* out);

}  // namespace lockstep::data
