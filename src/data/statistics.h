// Figures of a field, from blocks of its rows. A block's mean and squares are found in two passes
// and merged in the order of blocks (Chan, Golub, LeVeque 1979), so that nothing cancels and the
// same blocks give the same bits, whichever rank has added them. Knows no file.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "histogram.h"
#include "lockstep/core/dtype.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

struct Moments {
  std::int64_t count = 0;
  double mean = 0, squares = 0;  // sum of squared distances from the mean
  void add(const Moments& later);
  double deviation() const;  // of the population
};

class Statistics {
 public:
  static constexpr std::int64_t kMostClasses = 1 << 20;  // more are no classes, and not counted
  static constexpr std::int64_t kMostChannels = 256;     // more are no channels

  Statistics() : Statistics(DType::kU8, {}) {}
  // Of elements `dtype` in samples of `sample`.
  Statistics(DType dtype, const Shape& sample);
  // The block behind the last one; or the block `index`, each once, in any order.
  void add(const std::byte* rows, std::int64_t samples) { add(next_, rows, samples); }
  void add(std::int64_t index, const std::byte* rows, std::int64_t samples);

  // Blocks that another rank has added, as bytes(); each block once over all ranks.
  std::vector<std::byte> bytes() const;
  void merge(std::span<const std::byte> bytes);

  // Of blocks that all have been added, from 0.
  Figures figures() const;
  std::int64_t count() const { return totals_.elements; }
  double minimum() const { return totals_.minimum; }
  double maximum() const { return totals_.maximum; }
  // Samples of each class, of an integer scalar field of numbers from 0; of others empty.
  const std::vector<std::int64_t>& class_counts() const { return class_counts_; }

 private:
  using Channels = std::vector<Moments>;
  using Node =
      std::pair<int, std::int64_t>;  // level and index: blocks [index << level, + 1 << level)
  struct Totals {                    // in which the order of blocks leaves no trace
    std::int64_t elements = 0, not_finite = 0;
    double minimum = 0, maximum = 0;
  };
  void add_moments(std::int64_t index, const Moments& moments);
  void add_channels(Node node, Channels channels);
  Channels channels_of(const std::byte* rows, std::int64_t elements);
  void count_classes(const std::byte* rows, std::int64_t samples);
  void widen(double minimum, double maximum);
  bool counts_classes() const { return !is_float(dtype_) && elements_ == 1; }

  DType dtype_;
  std::int64_t elements_, channels_;  // of a sample; 0 channels: none are kept
  Totals totals_;
  Histogram histogram_;
  std::int64_t next_ = 0;  // blocks before it are in merged_
  Moments merged_;
  std::map<std::int64_t, Moments> waiting_;  // blocks behind a gap
  // Two neighbours become their parent at once: few nodes where blocks come in order.
  std::map<Node, Channels> channel_nodes_;
  bool classes_ = true;  // no number was negative or too large for a class
  std::vector<std::int64_t> class_counts_;
  std::vector<double> values_;
  std::vector<std::int32_t> labels_;
};

// Figures of two sets of rows, those of `later` behind. Counts, range, histogram and classes are as
// if found from all rows; mean and deviation are merged.
Figures merged(const Figures& figures, const Figures& later);

}  // namespace lockstep::data
