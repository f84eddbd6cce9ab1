// Reads the samples of any lane at any place of the order, on the caller's thread: for work that
// has moved to another rank. Right for every place, and slower than the prefetched windows: a chunk
// is decoded for the rows that are wanted of it.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "order.h"
#include "samples.h"

namespace lockstep::data {

class LooseRows {
 public:
  LooseRows(const Samples& samples, const LoaderOptions& options, const Cuts& cuts,
            std::int64_t chunk);
  // Fills `count` samples of the lane from `position` of its segment on. Several threads may call.
  void fill(std::int64_t lane, std::int64_t epoch, std::int64_t position, std::int64_t count,
            void* input, std::int32_t* labels, float* targets);
  std::int64_t bytes_read() const;

 private:
  struct Row {
    std::int64_t row, place;
  };
  void find_rows(std::int64_t lane, std::int64_t epoch, std::int64_t position, std::int64_t count);
  const EpochOrder& order_of(std::int64_t epoch);

  const Samples& samples_;
  const LoaderOptions& options_;
  const Cuts cuts_;
  const std::int64_t chunk_;
  mutable std::mutex mutex_;  // of all that follows
  std::map<std::int64_t, EpochOrder> orders_;
  std::vector<std::uint32_t> shuffled_;
  std::vector<Row> rows_;
  std::vector<std::byte> input_, target_;
  Samples::Kept kept_;
  std::int64_t bytes_read_ = 0;
};

}  // namespace lockstep::data
