// Mean, deviation, range and classes of a field, from blocks of its rows. Statistics of a block are
// found in two passes and merged (Chan, Golub, LeVeque 1979), so that nothing cancels.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "hdf5.h"
#include "lockstep/core/dtype.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

class Statistics {
 public:
  void add(DType dtype, const std::byte* elements, std::int64_t count);
  std::int64_t count() const { return count_; }
  double mean() const { return mean_; }
  double deviation() const;  // of the population
  double minimum() const { return minimum_; }
  double maximum() const { return maximum_; }
  void give_to(Field& field) const;

 private:
  std::int64_t count_ = 0;
  double mean_ = 0, squares_ = 0, minimum_ = 0, maximum_ = 0;
  std::vector<double> values_;
};

// Reads a field from its first row to its last and adds it up.
Statistics read_statistics(const std::shared_ptr<const InputFile>& file, const Field& field);

// classes = max + 1 over all splits, for the integer scalar fields of a foreign file.
void find_classes(const std::shared_ptr<const InputFile>& file, Manifest& manifest);

}  // namespace lockstep::data
