// The fold's kernel against the tree added up naively, and its sums of squares against the CPU's.
#include "kernels/fold.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "kernels/oracle.h"
#include "lockstep/core/error.h"
#include "lockstep/ops/vector.h"

namespace lockstep::kernels {
namespace {

bool same_bits(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

struct Shape {
  std::vector<int> merges;  // after each source
  int outs;
};
// A power of two; three ranks of 8 lanes; a node's canonical nodes; one value; deep, very deep.
std::vector<Shape> shapes() {
  std::vector<Shape> all{{{0, 1}, 1},
                         {{0, 1, 0, 2}, 1},
                         {{0, 1, 0, 2, 0, 1, 0, 3}, 1},
                         {{0, 0, 2, 0, 0, 3}, 1},
                         {{0, 0, 1, 0, 0}, 4},
                         {{0}, 1},
                         {{0, 0, 0}, 3}};
  for (const int depth : shapes_to_try<int>({4, 5, 6, 7, 12, 13, 40}, {5, 13})) {
    std::vector<int> merges(depth, 0);
    merges.back() = depth - 1;
    all.push_back({merges, 1});
  }
  return all;
}

// Blocks of odd sizes on granules of 64, one longer than a piece, and one that is not given.
const auto kBlocks = shapes_to_try<FoldBlock>({{0, 1},
                                               {64, 7},
                                               {128, 31},
                                               {192, 32},
                                               {256, 33},
                                               {320, 1000},
                                               {1344, 1023},
                                               {2368, 4096},
                                               {6464, 2},
                                               {6528, 4096},
                                               {10624, 9001}},
                                              {{0, 1}, {256, 33}, {320, 1000}});
constexpr std::int64_t kElements = 19648 + 64;
constexpr int kSkipped = 1;  // the first block is not folded

std::vector<float> exponents_of_all_sizes(int source) {
  std::mt19937 random(source);
  std::vector<float> x(kElements);
  for (float& v : x)
    v = std::ldexp(static_cast<float>(random()) * 0x1p-32f - 0.5f,
                   static_cast<int>(random() % 60) - 30);
  for (std::int64_t e = 300; e < kElements; e += 977) x[e] = -0.0f;
  if (source == 0) x[400] = std::numeric_limits<float>::infinity();
  return x;
}

void expect_tree(const Shape& shape, bool values, decltype(&fold) folds, bool in_place) {
  const int sources = static_cast<int>(shape.merges.size());
  FoldTree tree{};
  tree.source_count = sources;
  tree.out_count = shape.outs;
  std::vector<DeviceArray<float>> in, out;
  std::vector<std::vector<float>> hosts;
  for (int s = 0; s < sources; ++s) {
    hosts.push_back(exponents_of_all_sizes(s));
    in.emplace_back(hosts.back());
    tree.sources[s] = in.back().data();
    tree.merges[s] = static_cast<std::uint8_t>(shape.merges[s]);
  }
  for (int o = 0; o < shape.outs; ++o) {
    out.emplace_back(static_cast<std::size_t>(kElements));
    tree.outs[o] = in_place ? in[0].data() : out.back().data();
  }
  const DeviceArray<FoldBlock> blocks(kBlocks);
  const int count = static_cast<int>(kBlocks.size()) - kSkipped;
  const DeviceArray<double> squares(static_cast<std::size_t>(count));
  folds(tree, blocks.data() + kSkipped, count, values ? squares.data() : nullptr, nullptr);

  std::vector<std::vector<float>> found;
  for (int o = 0; o < shape.outs; ++o) found.push_back(in_place ? in[0].host() : out[o].host());
  const std::vector<double> sums = squares.host();
  for (int b = 0; b < count; ++b) {
    const FoldBlock& block = kBlocks[b + kSkipped];
    for (std::int64_t e = block.begin; e < block.begin + block.elements; ++e) {
      std::vector<float> stack;
      for (int s = 0; s < sources; ++s) {
        stack.push_back(hosts[s][e]);
        for (int m = 0; m < shape.merges[s]; ++m) {
          const float right = stack.back();
          stack.pop_back();
          stack.back() = stack.back() + right;
        }
      }
      ASSERT_EQ(stack.size(), found.size());
      for (int o = 0; o < shape.outs; ++o) ASSERT_TRUE(same_bits(found[o][e], stack[o])) << e;
    }
    if (values) {
      ASSERT_EQ(sums[b], ops::sum_of_squares(found[0].data() + block.begin, block.elements)) << b;
    }
    // What lies behind a block stays.
    const std::int64_t end = block.begin + block.elements;
    for (int o = 0; o < shape.outs && block.elements % 64 != 0; ++o) {
      ASSERT_TRUE(in_place ? same_bits(found[o][end], hosts[0][end]) : std::isnan(found[o][end]));
    }
  }
}

TEST(Fold, adds_every_tree_in_its_order) {
  for (const Shape& shape : shapes()) {
    for (const bool values : {true, false}) {
      SCOPED_TRACE(
          fmt::format("{} sources, {} outs, values {}", shape.merges.size(), shape.outs, values));
      expect_tree(shape, values, &fold, false);
      if (shape.outs == 1) expect_tree(shape, values, &fold, true);
    }
    expect_tree(shape, true, &fold_reference, false);
  }
}

TEST(Fold, refuses_a_tree_that_is_none) {
  FoldTree tree{};
  tree.source_count = 2;
  tree.out_count = 1;
  EXPECT_THROW(fold(tree, nullptr, 1, nullptr, nullptr), Error);  // leaves two
  tree.merges[0] = 1;
  EXPECT_THROW(fold(tree, nullptr, 1, nullptr, nullptr), Error);  // merges one with nothing
}

}  // namespace
}  // namespace lockstep::kernels
