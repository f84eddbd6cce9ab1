// Rates between sizes, and seconds made of them.
#include "lockstep/plan/cost.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lockstep::plan {
namespace {

// Rates at 8 and 128 rows, 16 and 256 columns; the first of each pair forward.
Device measured_device() {
  Device device;
  device.kind = "cpu";
  device.fp32 = 1e11;
  device.memory_bandwidth = 1e10;
  device.overhead = 1e-6;
  const auto rate = [&](double rows, double in, double forward, double backward) {
    device.rates.push_back({"linear", "fp32", {rows, in, 64}, forward, backward});
  };
  rate(8, 16, 1e9, 2e9);
  rate(8, 256, 4e9, 8e9);
  rate(128, 16, 16e9, 32e9);
  rate(128, 256, 64e9, 50e9);
  return device;
}

// exp(log x) differs from x in the last digits.
void expect_close(double found, double wanted) { EXPECT_NEAR(found, wanted, 1e-12 * wanted); }

double forward_at(const Device& device, std::vector<double> size) {
  return rate_at(device, "linear", "fp32", size, false);
}

TEST(Rates, are_those_measured_at_measured_sizes) {
  const Device device = measured_device();
  expect_close(forward_at(device, {8, 16, 64}), 1e9);
  expect_close(forward_at(device, {128, 256, 64}), 64e9);
  expect_close(rate_at(device, "linear", "fp32", {128, 256, 64}, true), 50e9);
}

TEST(Rates, are_geometric_means_halfway_in_logarithms) {
  const Device device = measured_device();
  EXPECT_NEAR(forward_at(device, {32, 16, 64}), 4e9, 1);  // sqrt(1 * 16)
  EXPECT_NEAR(forward_at(device, {8, 64, 64}), 2e9, 1);   // sqrt(1 * 4)
  EXPECT_NEAR(forward_at(device, {32, 64, 64}), 8e9, 1);  // of all four
}

TEST(Rates, stay_as_at_the_edge_beyond_what_was_measured) {
  const Device device = measured_device();
  expect_close(forward_at(device, {1, 1, 1}), 1e9);
  expect_close(forward_at(device, {4096, 4096, 4096}), 64e9);
  EXPECT_NEAR(forward_at(device, {32, 4096, 64}), 16e9, 1);
}

TEST(Rates, come_from_what_there_is_where_the_grid_is_not_whole) {
  Device device = measured_device();
  device.rates.pop_back();  // 128 x 256 was too large to measure
  EXPECT_NEAR(forward_at(device, {128, 16, 64}), 16e9, 1);
  EXPECT_NEAR(forward_at(device, {128, 256, 64}), 4e9, 1);  // as fewer rows of as many columns
  EXPECT_NEAR(forward_at(device, {32, 64, 64}), 4e9, 1);    // sqrt(sqrt(1 * 16) * 4)
}

TEST(Rates, of_a_relation_count_where_a_kernel_was_not_measured) {
  Device device = measured_device();
  expect_close(rate_at(device, "linear_input", "bf16", {8, 16, 64}, false), 1e9);
  device.rates.push_back({"linear_input", "bf16", {8, 16, 64}, 7e9, 0});
  expect_close(rate_at(device, "linear_input", "bf16", {8, 16, 64}, false), 7e9);
  expect_close(rate_at(device, "linear_input", "bf16", {8, 16, 64}, true), 7e9);
  EXPECT_EQ(rate_at(device, "attention", "fp32", {8, 16}, false), 0);
}

JobOp linear_op(double rows) {
  JobOp op;
  op.kind = "linear";
  op.size = {rows, 256, 64};
  op.forward_flops = 2 * rows * 256 * 64;
  op.backward_flops = 2 * op.forward_flops;
  op.forward_bytes = 4 * (rows * 320 + 256 * 64);
  op.backward_bytes = 2 * op.forward_bytes;
  return op;
}

TEST(OpSeconds, never_fall_as_an_op_grows) {
  const Device device = measured_device();
  OpSeconds before;
  for (double rows = 1; rows < 1e5; rows *= 1.3) {
    const OpSeconds now = op_seconds(linear_op(rows), "fp32", device, 1);
    EXPECT_GE(now.forward, before.forward * 0.999) << rows;
    EXPECT_GE(now.backward, before.backward * 0.999) << rows;
    before = now;
  }
}

TEST(OpSeconds, are_work_over_the_measured_rate) {
  const OpSeconds seconds = op_seconds(linear_op(128), "fp32", measured_device(), 1);
  expect_close(seconds.forward, 2.0 * 128 * 256 * 64 / 64e9);
  expect_close(seconds.backward, 4.0 * 128 * 256 * 64 / 50e9);
}

TEST(OpSeconds, follow_the_roofline_where_nothing_was_measured) {
  Device device = measured_device();
  device.rates.clear();
  JobOp op = linear_op(4096);  // 16 flops a byte and more: the arithmetic bounds it
  expect_close(op_seconds(op, "fp32", device, 1).forward, op.forward_flops / 1e11 + 1e-6);
  op = linear_op(1);  // a weight is read for two flops a number: the memory does
  expect_close(op_seconds(op, "fp32", device, 1).forward, op.forward_bytes / 1e10 + 1e-6);
  device.bf16 = 8e11;
  op = linear_op(4096);
  expect_close(op_seconds(op, "bf16", device, 1).forward, op.forward_bytes / 1e10 + 1e-6);
}

TEST(OpSeconds, of_what_was_fused_are_none_unless_it_was_measured) {
  Device device = measured_device();
  JobOp op;
  op.kind = "gelu";
  op.size = {4096};
  op.forward_bytes = 8e6, op.backward_bytes = 12e6;
  op.fused = true;
  EXPECT_EQ(op_seconds(op, "fp32", device, 1).forward, 0);
  device.rates.push_back({"gelu", "fp32", {4096}, 8e9, 6e9});
  expect_close(op_seconds(op, "fp32", device, 1).forward, 1e-3);
  expect_close(op_seconds(op, "fp32", device, 1).backward, 2e-3);
  op.again = true;
  expect_close(op_seconds(op, "fp32", device, 1).backward, 3e-3);
}

TEST(OpSeconds, grow_by_what_other_ranks_take) {
  Device device = measured_device();
  device.rates.push_back({"add", "fp32", {}, 1e9, 1e9});
  device.contention = {{1, 1, 1}, {3, 0.5, 0.2}};
  JobOp add;
  add.kind = "add";
  add.size = {1e7};  // more than a cache holds
  add.forward_bytes = 1e6;
  const double alone = op_seconds(linear_op(128), "fp32", device, 1).forward;
  expect_close(op_seconds(linear_op(128), "fp32", device, 3).forward, alone / 0.5);
  expect_close(op_seconds(linear_op(128), "fp32", device, 2).forward, alone / 0.75);
  expect_close(op_seconds(linear_op(128), "fp32", device, 9).forward, alone / 0.5);
  expect_close(op_seconds(add, "fp32", device, 1).forward, 1e-3);
  expect_close(op_seconds(add, "fp32", device, 3).forward, 5e-3);
}

TEST(WorkSeconds, have_update_packing_and_adding) {
  Device device = measured_device();
  device.rates.push_back({"adamw", "fp32", {1000}, 28e9, 0});
  device.rates.push_back({"linear_pack", "fp32", {1000}, 5e9, 0});
  device.rates.push_back({"fold", "fp32", {}, 4e9, 0});
  Job job;
  job.precision = "fp32";
  job.parameters = 1000000;
  job.ops = {linear_op(8), linear_op(128)};
  job.ops[0].packed_bytes = 1e6;
  const WorkSeconds work = work_seconds(job, device, 1);
  expect_close(work.forward, op_seconds(job.ops[0], "fp32", device, 1).forward +
                                 op_seconds(job.ops[1], "fp32", device, 1).forward);
  expect_close(work.update, 1e6 * 28 / 28e9 + 1e6 / 5e9);
  expect_close(work.add, 1 / 4e9);
}

TEST(UpdateBytes, count_each_number_read_and_written) {
  optim::Options options;  // adamw: reads p, g, m, v; writes p, m, v
  EXPECT_EQ(update_bytes(options), 28);
  options.kind = optim::Kind::kSgd;
  EXPECT_EQ(update_bytes(options), 12);
  options.momentum = 0.9;
  EXPECT_EQ(update_bytes(options), 20);
}

}  // namespace
}  // namespace lockstep::plan
