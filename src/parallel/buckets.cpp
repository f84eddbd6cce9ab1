#include "lockstep/parallel/buckets.h"

#include <algorithm>
#include <bit>

namespace lockstep::parallel {

std::vector<Bucket> make_buckets(const ParameterTable& table,
                                 const std::vector<std::pair<int, int>>& runs,
                                 std::int64_t bucket_bytes) {
  std::vector<Bucket> buckets;
  std::size_t end = runs.size();
  while (end > 0) {
    const Parameter& last = table[runs[end - 1].second - 1];
    const std::int64_t stop = last.offset + (last.elements + kGranule - 1) / kGranule * kGranule;
    const auto bytes_from = [&](std::size_t run) {
      return (stop - table[runs[run].first].offset) * static_cast<std::int64_t>(sizeof(float));
    };
    std::size_t first = end - 1;
    while (first > 0 && bytes_from(first - 1) <= bucket_bytes) --first;
    buckets.push_back(
        {runs[first].first, runs[end - 1].second, {table[runs[first].first].offset, stop}});
    end = first;
  }
  return buckets;
}

std::int64_t choose_bucket_bytes(const comm::Links& links, std::int64_t gradient_bytes) {
  constexpr double kLatencyShare = 0.05;
  std::int64_t bytes = kNodeBucketBytes;
  if (links.bandwidth > 0) {
    // latency <= share * (latency + bytes / bandwidth)
    const double least = (1 / kLatencyShare - 1) * links.latency * links.bandwidth;
    const double bounded = std::min(least, static_cast<double>(kMostBucketBytes));
    bytes = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(bounded)));
  }
  const auto most =
      std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(0, gradient_bytes)) /
                     static_cast<std::uint64_t>(kWantedBuckets));
  bytes = std::min(bytes, static_cast<std::int64_t>(most));
  return std::clamp(bytes, kLeastBucketBytes, kMostBucketBytes);
}

}  // namespace lockstep::parallel
