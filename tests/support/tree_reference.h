// The one tree over lanes, written as the definition says, for tests to compare with.
#pragma once
#include <cstdint>
#include <vector>

namespace lockstep::test {

// Sum of lanes [first, first + 2^level) that exist; a node whose right child is absent is its left.
inline float tree_node(const std::vector<float>& lanes, int level, std::size_t first) {
  if (level == 0) return lanes[first];
  const std::size_t half = std::size_t{1} << (level - 1);
  const float left = tree_node(lanes, level - 1, first);
  return first + half < lanes.size() ? left + tree_node(lanes, level - 1, first + half) : left;
}

inline float tree_sum(const std::vector<float>& lanes) {
  int level = 0;
  while ((std::size_t{1} << level) < lanes.size()) ++level;
  return tree_node(lanes, level, 0);
}

}  // namespace lockstep::test
