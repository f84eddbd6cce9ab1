// Cuboids of an array's elements, and the runs of elements that lie together in two of them.
// Knows no file.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>

#include "lockstep/core/shape.h"

namespace lockstep::data {

struct Box {
  static constexpr int kMaxRank = Shape::kMaxRank + 1;
  int rank = 0;
  std::int64_t start[kMaxRank] = {}, extent[kMaxRank] = {};

  static Box of(std::span<const std::int64_t> extents) {
    Box box;
    box.rank = static_cast<int>(extents.size());
    std::copy(extents.begin(), extents.end(), box.extent);
    return box;
  }
  std::int64_t elements() const {
    std::int64_t all = 1;
    for (int i = 0; i < rank; ++i) all *= extent[i];
    return all;
  }
  Box common(const Box& other) const {
    Box box;
    box.rank = rank;
    for (int i = 0; i < rank; ++i) {
      box.start[i] = std::max(start[i], other.start[i]);
      box.extent[i] =
          std::min(start[i] + extent[i], other.start[i] + other.extent[i]) - box.start[i];
    }
    return box;
  }
  // Where the first and the last element of `part`, which lies in this box, are in its row-major
  // order.
  std::int64_t offset_of(const Box& part) const {
    std::int64_t at = 0;
    for (int i = 0; i < rank; ++i) at = at * extent[i] + part.start[i] - start[i];
    return at;
  }
  std::int64_t offset_of_last(const Box& part) const {
    std::int64_t at = 0;
    for (int i = 0; i < rank; ++i)
      at = at * extent[i] + part.start[i] + part.extent[i] - 1 - start[i];
    return at;
  }
  // Whether this box, a part of `whole`, is one run of whole's elements.
  bool lies_together_in(const Box& whole) const {
    return whole.offset_of_last(*this) - whole.offset_of(*this) + 1 == elements();
  }
};

// visit(offset in a, offset in b, elements) for every run of `part` that lies together in both `a`
// and `b`, which both contain it.
template <class Visit>
void for_each_run(const Box& part, const Box& a, const Box& b, const Visit& visit) {
  // Axes from `inner` on are whole in both, so that they and the one before form one run.
  int inner = part.rank;
  while (inner > 0 && part.extent[inner - 1] == a.extent[inner - 1] &&
         part.extent[inner - 1] == b.extent[inner - 1])
    --inner;
  const int last = std::max(inner - 1, 0);  // the run's outermost axis
  Box run = part;
  for (int i = 0; i < last; ++i) run.extent[i] = 1;
  const std::int64_t elements = run.elements();
  if (part.elements() == 0) return;
  while (true) {
    visit(a.offset_of(run), b.offset_of(run), elements);
    int i = last - 1;
    while (i >= 0 && ++run.start[i] == part.start[i] + part.extent[i]) {
      run.start[i] = part.start[i];
      --i;
    }
    if (i < 0) return;
  }
}

}  // namespace lockstep::data
