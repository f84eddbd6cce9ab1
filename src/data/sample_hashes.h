// Samples that occur more than once, found by 128-bit hashes that the ranks share out among
// themselves: a sample costs 32 bytes on the rank that read it, and 32 on the one that compares it.
// Knows hashes, no file.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/hash.h"

namespace lockstep::data {

struct SampleHash {
  Hash128 hash;
  std::int64_t split = 0, row = 0;
};

// A sample and the first one, by (split, row), that equals it; both in the same split, or in two.
struct Repeat {
  std::int64_t split = 0, row = 0, first_split = 0, first_row = 0;
  auto operator<=>(const Repeat&) const = default;
};
struct Repeats {
  std::int64_t first_split = 0, split = 0;  // the same: duplicates within it
  std::int64_t count = 0;                   // samples of `split`
  std::vector<Repeat> examples;             // the first few
};

// Of all ranks' samples, in an order and of a content that do not depend on how they are dealt.
// Collective; takes `mine` apart.
std::vector<Repeats> find_repeats(comm::Communicator& communicator, std::vector<SampleHash> mine);

}  // namespace lockstep::data
