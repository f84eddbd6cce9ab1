#include "lockstep/parallel/buckets.h"

namespace lockstep::parallel {

std::vector<Bucket> make_buckets(const ParameterTable& table, std::int64_t bucket_bytes) {
  std::vector<Bucket> buckets;
  int end = table.size();
  while (end > 0) {
    int first = end - 1;
    const std::int64_t stop = table[end - 1].offset + table[end - 1].elements;
    const auto bytes_from = [&](int p) {
      return (stop - table[p].offset) * static_cast<std::int64_t>(sizeof(float));
    };
    while (first > 0 && bytes_from(first - 1) <= bucket_bytes) --first;
    buckets.push_back({first, end, {table[first].offset, stop}});
    end = first;
  }
  return buckets;
}

}  // namespace lockstep::parallel
