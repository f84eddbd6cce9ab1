// A seeded permutation of [0, n) that is computed and never stored: a Feistel network (Luby and
// Rackoff 1988, "How to construct pseudorandom permutations from pseudorandom functions") whose
// round function is Philox, on the least number of bits that holds n; what falls outside of [0, n)
// goes through it again (cycle walking: Black and Rogaway 2002, "Ciphers with arbitrary finite
// domains"), fewer than two times on average. Knows no samples.
#pragma once
#include <array>
#include <cstdint>

#include "lockstep/core/hash.h"

namespace lockstep::data {

class RowPermutation {
 public:
  // Of this stream of the seed. 1 <= n <= 2^62.
  RowPermutation(std::int64_t n, std::uint64_t seed, std::uint64_t stream);
  std::int64_t operator()(std::int64_t i) const;

 private:
  std::uint64_t through(std::uint64_t x) const;

  std::uint64_t n_, seed_;
  int low_bits_, high_bits_;  // of the two halves, which differ by one bit at most
  Hash128 stream_;
};

}  // namespace lockstep::data
