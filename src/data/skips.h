// Which samples of a split cannot be trusted, as far as they have been read, so that each gives way
// to the next one that can. Knows rows, no file.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace lockstep::data {

class Skips {
 public:
  // most: the share of the samples that may be skipped.
  Skips(std::string split, std::int64_t samples, double most);

  // The row, or the first one after it, cyclic, that is not known to be bad.
  std::int64_t next(std::int64_t row) const;
  // This row is bad, for a reason that names file and dataset; the first few are told. Throws
  // DataError if there are too many of them. Several threads may call.
  void add(std::int64_t row, const std::string& why);
  std::int64_t rows() const;  // that are known to be bad

  void count_replaced() { replaced_.fetch_add(1, std::memory_order_relaxed); }
  std::int64_t replaced() const { return replaced_.load(std::memory_order_relaxed); }

 private:
  const std::string split_;
  const std::int64_t samples_;
  const double most_;
  mutable std::mutex mutex_;
  std::map<std::int64_t, std::int64_t> bad_;  // [key, value), that do not touch
  std::int64_t rows_ = 0;
  std::atomic<std::int64_t> replaced_{0};
};

}  // namespace lockstep::data
