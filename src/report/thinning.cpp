#include "report/thinning.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace lockstep::report {

std::vector<std::size_t> kept_places(const std::vector<std::vector<double>>& columns,
                                     std::size_t places, std::size_t most) {
  std::vector<std::size_t> all(places);
  std::iota(all.begin(), all.end(), std::size_t{0});
  if (places <= most || places < 3) return all;
  const std::size_t ranges =
      std::max<std::size_t>(1, (most - 2) / (2 * std::max<std::size_t>(1, columns.size())));
  std::set<std::size_t> kept{0, places - 1};
  for (std::size_t r = 0; r < ranges; ++r) {
    const std::size_t begin = r * places / ranges, end = (r + 1) * places / ranges;
    for (const auto& column : columns) {
      std::size_t least = end, greatest = end;
      for (std::size_t i = begin; i < end; ++i) {
        if (!std::isfinite(column[i])) continue;
        if (least == end || column[i] < column[least]) least = i;
        if (greatest == end || column[i] > column[greatest]) greatest = i;
      }
      if (least != end) kept.insert({least, greatest});
    }
  }
  return {kept.begin(), kept.end()};
}

}  // namespace lockstep::report
