#include "nn/memory_plan.h"

#include <algorithm>
#include <numeric>

namespace lockstep::nn {

Placement place(const std::vector<Lifetime>& lifetimes) {
  constexpr std::size_t kAlign = 64;
  const auto rounded = [](std::size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; };
  std::vector<int> order(lifetimes.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return lifetimes[a].bytes > lifetimes[b].bytes; });
  Placement placement;
  placement.offsets.assign(lifetimes.size(), 0);
  std::vector<int> placed;  // in order of offset
  for (const int i : order) {
    const Lifetime& want = lifetimes[i];
    std::size_t at = 0;
    for (const int other : placed) {
      const Lifetime& there = lifetimes[other];
      if (there.end < want.begin || want.end < there.begin) continue;
      if (at + rounded(want.bytes) <= placement.offsets[other]) break;
      at = std::max(at, placement.offsets[other] + rounded(there.bytes));
    }
    placement.offsets[i] = at;
    placement.bytes = std::max(placement.bytes, at + rounded(want.bytes));
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), at,
                         [&](std::size_t offset, int p) { return offset < placement.offsets[p]; }),
        i);
  }
  return placement;
}

}  // namespace lockstep::nn
