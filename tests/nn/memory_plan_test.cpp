#include "nn/memory_plan.h"

#include <gtest/gtest.h>

#include "lockstep/core/philox.h"

namespace lockstep::nn {
namespace {

TEST(MemoryPlan, never_overlaps_what_lives_together_and_stays_below_the_sum) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const NamedStream random(seed, "lifetimes");
    std::vector<Lifetime> lifetimes;
    std::size_t sum = 0, peak = 0;
    for (std::uint64_t i = 0; i < 40; ++i) {
      const int begin = static_cast<int>(random.uniform(3 * i) * 50);
      lifetimes.push_back({static_cast<std::size_t>(random.uniform(3 * i + 1) * 1000), begin,
                           begin + static_cast<int>(random.uniform(3 * i + 2) * 20)});
      sum += (lifetimes.back().bytes + 63) / 64 * 64;
    }
    const Placement placement = place(lifetimes);
    for (int time = 0; time < 70; ++time) {
      std::size_t live = 0;
      for (const Lifetime& l : lifetimes) live += l.begin <= time && time <= l.end ? l.bytes : 0;
      peak = std::max(peak, live);
    }
    for (std::size_t a = 0; a < lifetimes.size(); ++a) {
      EXPECT_EQ(placement.offsets[a] % 64, 0u);
      EXPECT_LE(placement.offsets[a] + lifetimes[a].bytes, placement.bytes);
      for (std::size_t b = 0; b < a; ++b) {
        const bool together =
            lifetimes[a].begin <= lifetimes[b].end && lifetimes[b].begin <= lifetimes[a].end;
        const bool apart = placement.offsets[a] + lifetimes[a].bytes <= placement.offsets[b] ||
                           placement.offsets[b] + lifetimes[b].bytes <= placement.offsets[a];
        EXPECT_TRUE(!together || apart || lifetimes[a].bytes == 0 || lifetimes[b].bytes == 0);
      }
    }
    EXPECT_GE(placement.bytes, peak);
    EXPECT_LE(placement.bytes, sum);
  }
}

TEST(MemoryPlan, reuses_the_place_of_what_is_gone) {
  const Placement placement = place({{1000, 0, 1}, {1000, 1, 2}, {1000, 2, 3}, {1000, 3, 4}});
  EXPECT_EQ(placement.bytes, 2u * 1024);
}

}  // namespace
}  // namespace lockstep::nn
