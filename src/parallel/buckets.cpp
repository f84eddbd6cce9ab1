#include "lockstep/parallel/buckets.h"

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

}  // namespace lockstep::parallel
