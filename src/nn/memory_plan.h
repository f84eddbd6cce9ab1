// Places buffers with known lifetimes in one arena so that buffers that live at the same time never
// overlap.
#pragma once
#include <cstddef>
#include <vector>

namespace lockstep::nn {

struct Lifetime {
  std::size_t bytes = 0;
  int begin = 0, end = 0;  // times of first and last use, both included
};

struct Placement {
  std::vector<std::size_t> offsets;  // per lifetime, multiples of 64 bytes
  std::size_t bytes = 0;             // of the arena
};

// Largest first, each at the lowest offset where it fits (greedy by size; Pisarchyk & Lee 2020).
Placement place(const std::vector<Lifetime>& lifetimes);

}  // namespace lockstep::nn
