// Flat buffers of random parameters, with buckets, blocks and uses as a program would have them.
#pragma once
#include <algorithm>
#include <random>

#include "lockstep/comm/shared_flat.h"

namespace lockstep::test {

// Parameters of odd sizes from 1 to a few blocks, some seeds a single one; buckets from the last to
// the first, which end with their last block. Uses go up and down again over groups of parameters,
// and the first parameter is also read by the uses in the middle, like a tied weight.
inline comm::FlatLayout random_flat(unsigned seed, comm::FlatExtent extent) {
  std::mt19937 random(seed);
  const auto below = [&](unsigned n) { return static_cast<std::int64_t>(random() % n); };
  comm::FlatLayout layout;
  layout.extent = extent;
  std::vector<comm::Range> parameters;
  const std::int64_t count = seed % 5 == 4 ? 1 : 2 + below(14);
  for (std::int64_t p = 0; p < count; ++p) {
    const std::int64_t size = below(3) == 0 ? 4096 + below(20000) : 1 + below(700);
    const std::int64_t begin = layout.fold.flat_elements;
    for (std::int64_t at = 0; at < size; at += 4096)
      layout.fold.blocks.push_back({begin + at, begin + std::min(size, at + 4096)});
    parameters.push_back({begin, begin + size});
    layout.fold.flat_elements += (size + 63) / 64 * 64;
  }
  const std::int64_t bucket = 2000 + below(20000);
  std::size_t end = parameters.size();
  for (std::size_t p = parameters.size(); p-- > 0;) {
    const comm::Range range{parameters[p].begin, parameters[end - 1].end};
    if (p > 0 && range.size() < bucket) continue;
    layout.fold.buckets.push_back(range);
    end = p;
  }
  std::vector<comm::FlatUse> up;
  for (std::size_t p = 0; p < parameters.size();) {
    comm::FlatUse use;
    for (std::int64_t n = 1 + below(4); n > 0 && p < parameters.size(); --n)
      use.ranges.push_back(parameters[p++]);
    up.push_back(use);
  }
  layout.uses = up;
  layout.uses.push_back({{parameters.front(), parameters.back()}});
  if (parameters.size() == 1) layout.uses.back().ranges.pop_back();
  layout.uses.insert(layout.uses.end(), up.rbegin(), up.rend());
  return layout;
}

}  // namespace lockstep::test
