// What a program says its ops cost, against sums by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "run_program.h"

namespace lockstep::nn {
namespace {

struct Sum {
  double forward = 0, backward = 0, bytes = 0;
  int rows = 0;
};

std::map<std::string, Sum> by_kind(const Program& program) {
  std::map<std::string, Sum> sums;
  for (const OpCost& cost : program.op_costs()) {
    Sum& sum = sums[cost.kind + (cost.fused ? "*" : "")];
    sum.forward += cost.cost.forward_flops;
    sum.backward += cost.cost.backward_flops;
    sum.bytes += cost.cost.forward_bytes + cost.cost.backward_bytes;
    ++sum.rows;
  }
  return sums;
}

// Radford et al. 2019 with 3 blocks of 16, 4 heads, an inner width of 24; 7 tokens, 3 samples, 13
// classes.
TEST(OpCosts, of_a_decoder_are_the_products_of_the_paper) {
  const Case c = decoder("gpt", 0.25);
  const Program program(sparse_cpu_device(), c.layers, c.options);
  std::map<std::string, Sum> sums = by_kind(program);
  const double rows = 21, e = 16, inner = 24, blocks = 3, pairs = 7 * 8 / 2, heads = 3 * 4;
  const double products = e * 3 * e + e * e + 2 * e * inner, biases = 3 * e + e + inner + e;
  EXPECT_EQ(sums["linear"].rows, 4 * blocks);
  EXPECT_DOUBLE_EQ(sums["linear"].forward, blocks * rows * (2 * products + biases));
  EXPECT_DOUBLE_EQ(sums["linear"].backward, blocks * rows * (4 * products + biases));
  // Scores and the values' mean; backward makes the scores again, and four gradients' products.
  EXPECT_DOUBLE_EQ(sums["attention"].forward, blocks * 2 * 2 * pairs * heads * (e / 4));
  EXPECT_DOUBLE_EQ(sums["attention"].backward, blocks * 5 * 2 * pairs * heads * (e / 4));
  EXPECT_DOUBLE_EQ(sums["linear_cross_entropy"].forward, 2 * rows * e * 13);
  EXPECT_DOUBLE_EQ(sums["linear_cross_entropy"].backward, 4 * rows * e * 13);
  // Fused: an activation a block, dropout of probabilities and of both branches, two sums a block.
  EXPECT_EQ(sums["dropout*"].rows, 3 * blocks);
  EXPECT_DOUBLE_EQ(sums["dropout*"].bytes, 16 * blocks * (pairs * heads + 2 * rows * e));
  EXPECT_EQ(sums["add*"].rows, 2 * blocks);
  EXPECT_DOUBLE_EQ(sums["add*"].bytes, 4 * blocks * 2 * rows * e);
  EXPECT_EQ(sums["layer_norm"].rows, 2 * blocks + 1);
  EXPECT_EQ(sums["dropout"].rows, 1);
  double flops = 0;
  for (const auto& [kind, sum] : sums) flops += sum.forward + sum.backward;
  EXPECT_DOUBLE_EQ(flops, program.flops());
}

TEST(OpCosts, name_the_layer_and_its_parameters_in_order) {
  const Case c = decoder("llama", 0);
  const Program program(sparse_cpu_device(), c.layers, c.options);
  int end = 0;
  for (const OpCost& cost : program.op_costs()) {
    EXPECT_FALSE(cost.layer.empty());
    EXPECT_FALSE(cost.size.empty()) << cost.kind;
    if (cost.end == cost.first) continue;
    EXPECT_EQ(cost.first, end) << cost.layer;
    end = cost.end;
  }
  EXPECT_EQ(end, program.table().size());
}

TEST(OpCosts, of_what_is_recomputed_say_so) {
  Case c = decoder("gpt", 0);
  c.options.recompute = Recompute::kBlock;
  const Program program(sparse_cpu_device(), c.layers, c.options);
  int again = 0;
  for (const OpCost& cost : program.op_costs()) again += cost.again ? 1 : 0;
  EXPECT_GT(again, 0);
}

// A convolution of 5 x 5 x 3 to 4 channels, padded, over 6 x 6; pooled by 2; by slices of samples.
TEST(OpCosts, of_a_convolution_count_the_places_of_its_kernel) {
  LayerSpec conv = spec_of("conv");
  conv.out = 4, conv.kernel = {5, 5}, conv.padding = {2, 2};
  LayerSpec pool = spec_of("max_pool");
  pool.kernel = {2, 2}, pool.stride = {2, 2};
  LayerSpec output = spec_of("linear");
  output.out = 2;
  ProgramOptions options;
  options.sample = Shape{6, 6, 3};
  options.microbatch = 5;
  options.outputs = 2;
  const Program program(sparse_cpu_device(),
                        {conv, spec_of("relu"), pool, spec_of("flatten"), output}, options);
  const std::vector<OpCost> costs = program.op_costs();
  ASSERT_EQ(costs.size(), 5u);
  EXPECT_EQ(costs[0].kind, "convolution_input");
  EXPECT_EQ(costs[0].size, (std::vector<double>{5 * 36, 6, 3, 4, 25}));
  EXPECT_DOUBLE_EQ(costs[0].cost.forward_flops, 5 * 36 * 4 * (2 * 75 + 1));
  EXPECT_DOUBLE_EQ(costs[0].cost.backward_flops, 5 * 36 * 4 * (2 * 75 + 1));
  EXPECT_EQ(costs[1].kind, "relu");
  EXPECT_TRUE(costs[1].fused);
  EXPECT_EQ(costs[2].kind, "max_pool");
  EXPECT_EQ(costs[3].size, (std::vector<double>{5, 36, 2}));
  EXPECT_EQ(costs[4].kind, "softmax_cross_entropy");
}

}  // namespace
}  // namespace lockstep::nn
