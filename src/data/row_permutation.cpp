#include "row_permutation.h"

#include <bit>

#include "lockstep/core/error.h"
#include "lockstep/core/philox.h"

namespace lockstep::data {
namespace {

// Four are enough for large halves (Luby and Rackoff); small ones need more to look random.
constexpr std::uint32_t kRounds = 8;

// Tells these numbers from those of all other streams of the seed.
constexpr std::uint64_t kName = 0x6c6c6566206f7274;

std::uint64_t ones(int bits) { return (std::uint64_t{1} << bits) - 1; }

}  // namespace

RowPermutation::RowPermutation(std::int64_t n, std::uint64_t seed, std::uint64_t stream)
    : n_(static_cast<std::uint64_t>(n)), seed_(seed) {
  LOCKSTEP_CHECK(n >= 1 && n <= std::int64_t{1} << 62, "a permutation of {}", n);
  const int bits = std::bit_width(n_ - 1);
  low_bits_ = bits / 2;
  high_bits_ = bits - low_bits_;
  const std::array<std::uint64_t, 2> name{kName, stream};
  stream_ = hash_bytes(name.data(), sizeof name);
}

// Each half in turn is changed by a function of the other one.
std::uint64_t RowPermutation::through(std::uint64_t x) const {
  std::uint64_t low = x & ones(low_bits_), high = x >> low_bits_;
  for (std::uint32_t round = 0; round < kRounds; ++round) {
    const bool of_high = round % 2 == 0;
    std::uint64_t& changed = of_high ? high : low;
    const std::uint64_t other = of_high ? low : high;
    const auto words = philox4x32(
        {static_cast<std::uint32_t>(other), round, static_cast<std::uint32_t>(stream_.low),
         static_cast<std::uint32_t>(stream_.low >> 32)},
        seed_);
    changed ^= words[0] & ones(of_high ? high_bits_ : low_bits_);
  }
  return high << low_bits_ | low;
}

std::int64_t RowPermutation::operator()(std::int64_t i) const {
  auto x = static_cast<std::uint64_t>(i);
  LOCKSTEP_CHECK(x < n_, "{} of {}", i, n_);
  do {
    x = through(x);
  } while (x >= n_);
  return static_cast<std::int64_t>(x);
}

}  // namespace lockstep::data
