// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
// easy as 1, 2, 3"). A number is a function of its name alone, never of history, rank or thread.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace lockstep {

// One Philox block: 4 words from a 128-bit counter and a 64-bit key.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, std::uint64_t key);

// The name of a stream of numbers inside a step. Counter layout (NUMERICS.md 11), low bits first:
// element/4: 40 bits, op: 16, lane*accumulate+micro: 24, step: 48.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;        // < 2^48
  std::uint32_t lane_micro = 0;  // < 2^24
  std::uint32_t op = 0;          // < 2^16

  // Counter words for the block that holds elements [4*block, 4*block+4). block < 2^40.
  std::array<std::uint32_t, 4> counter(std::uint64_t block) const;
  std::uint32_t word(std::uint64_t element) const;  // the 32 bits of one element
};

// Throws UserError if a run of these sizes would overflow a field of the counter.
void check_counter_limits(std::uint64_t steps, std::uint64_t lanes_times_accumulate,
                          std::uint64_t ops, std::uint64_t elements);

// 32 bits to (0, 1): (word + 0.5) / 2^32, exact in double.
inline double unit_interval(std::uint32_t word) { return (word + 0.5) * 0x1p-32; }

// Numbers for initialisation: named by (seed, parameter name, element), so that a parameter's first
// value does not change when another parameter is added.
class NamedStream {
 public:
  NamedStream(std::uint64_t seed, std::string_view name);
  double uniform(std::uint64_t element) const;  // in (0, 1)
  double normal(std::uint64_t element) const;   // inverse CDF, no rejection

 private:
  std::uint64_t key_;
  std::uint64_t name_hash_;
};

// Inverse of the standard normal CDF (Wichura 1988, AS 241, PPND16); |relative error| < 1e-15.
double inverse_normal_cdf(double p);

// A seeded permutation of [0, n) in O(1) memory would not be uniform; this is Fisher-Yates with
// Philox(seed, stream..., i): the same for every rank. Writes n indices to out.
void permutation(std::uint64_t seed, std::uint64_t a, std::uint64_t b, std::uint64_t c,
                 std::uint32_t n, std::uint32_t* out);

}  // namespace lockstep
