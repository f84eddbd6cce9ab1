// The fold on a device whose streams run late, under mpirun: bit for bit the one tree, on every
// path and in every order of the streams. A wait that is missing gives wrong numbers here.
#include <gtest/gtest.h>

#include <random>

#include "comm/device_messages.h"
#include "comm/mpi_call.h"
#include "lockstep/comm/fold.h"
#include "lockstep/comm/shards.h"
#include "lockstep/core/error.h"
#include "support/device_fold_driver.h"
#include "support/fold_driver.h"
#include "support/late_device.h"
#include "support/node_list.h"

namespace lockstep::comm {
namespace {

const std::vector<std::int64_t> kSizes{1, 7, 300, 31, 4097, 33, 1000, 129};

// As the vector loops do: the host's owners sum squares too.
double sum_of_squares(const float* x, std::int64_t n) {
  double total[16] = {};
  for (std::int64_t i = 0; i < n; ++i) total[i % 16] += static_cast<double>(x[i]) * x[i];
  for (int distance = 8; distance > 0; distance /= 2) {
    for (int i = 0; i < distance; ++i) total[i] += total[i + distance];
  }
  return total[0];
}
FoldArithmetic host_arithmetic() {
  return {test::plain_arithmetic().add, sum_of_squares, test::plain_arithmetic().round_to_bf16};
}

struct Setting {
  std::int64_t lanes = 8;
  int streams = 1;
  std::uint64_t seed = 0;
  std::string nodes;
  bool peers = true;
  bool device_messages = false;
  test::DriveOptions drive;
  SumsTo sums = SumsTo::kEveryRank;
  Leaves leaves = Leaves::kFolded;
  LeafType leaf = LeafType::kFp32;
};

// Returns the fold's path.
std::string expect_reference_bits(const Setting& s, int steps = 4) {
  SCOPED_TRACE(
      fmt::format("{} lanes, {} streams, seed {}, nodes '{}', peers {}, messages {}, "
                  "captured {}, threads {}, bf16 {}",
                  s.lanes, s.streams, s.seed, s.nodes, s.peers, s.device_messages, s.drive.captured,
                  s.drive.threads, s.leaf == LeafType::kBf16));
  set_device_memory_claim(s.device_messages);
  const auto communicator = make_communicator({30, s.nodes});
  test::LateDevice device(100 * s.seed + communicator->rank(), s.peers);
  test::LateArithmetic arithmetic(device);
  FoldLayout layout = test::make_layout(kSizes, 1500, s.lanes, s.streams);
  layout.sums = s.sums;
  layout.leaves = s.leaves;
  layout.leaf = s.leaf;
  test::DriveOptions drive = s.drive;
  if (s.leaves == Leaves::kInRounds) {
    layout.open_buckets = 1;
    const Shards shards(layout, communicator->size());
    for (const int owner : shards.owners())
      drive.owned.push_back(owner == communicator->topology().position);
  }
  ::testing::internal::CaptureStderr();
  const auto fold = make_fold(*communicator, layout, host_arithmetic(), ReduceKind::kFold,
                              {&device, &arithmetic});
  ::testing::internal::GetCapturedStderr();
  test::DeviceFoldDriver driver(*fold, layout, device, drive);
  std::string difference;
  for (int step = 0; step < steps; ++step) {
    driver.run_step(step);
    if (step > 0 && difference.empty()) difference = driver.check(step - 1);
    driver.read(step);
  }
  if (difference.empty()) difference = driver.check(steps - 1);
  EXPECT_EQ(communicator->max(difference.empty() ? 0 : 1), 0) << difference;
  set_device_memory_claim(-1);
  return fold->path();
}

int ranks() { return make_communicator({})->size(); }
std::string alternating(int nodes) {
  return test::node_list(ranks(), [=](int rank) { return rank % nodes; });
}

TEST(LateFold, equals_the_one_tree_for_any_number_of_lanes) {
  for (std::int64_t lanes = ranks(); lanes <= 16; ++lanes) {
    for (const int streams : {1, 3}) {
      const std::string path = expect_reference_bits(
          {.lanes = lanes, .streams = streams, .seed = static_cast<std::uint64_t>(lanes)}, 3);
      EXPECT_EQ(path, ranks() == 1 ? "one rank" : "peers by CUDA IPC");
    }
  }
}

TEST(LateFold, gives_owners_what_it_gives_every_rank) {
  for (const std::string& nodes : {std::string(), alternating(2)}) {
    Setting s{.lanes = 12, .nodes = nodes};
    s.sums = SumsTo::kOwners;
    expect_reference_bits(s);
  }
}

Setting in_rounds(std::int64_t lanes, int streams, std::uint64_t seed) {
  Setting s{.lanes = lanes, .streams = streams, .seed = seed};
  s.drive.threads = streams > 1;
  s.sums = SumsTo::kOwners;
  s.leaves = Leaves::kInRounds;
  return s;
}

TEST(LateFold, takes_lanes_in_rounds) {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    Setting s = in_rounds(1 + static_cast<std::int64_t>(3 * seed) % 16,
                          1 + static_cast<int>(seed) % 3, seed);
    if (seed % 2 == 1) s.nodes = alternating(2);
    expect_reference_bits(s, 5);
  }
}

// Lanes that leave a node alone beside sums, with and without additions on the node, on every path.
TEST(LateFold, adds_leaves_rounded_to_bf16) {
  for (std::uint64_t seed = 0; seed < 18; ++seed) {
    Setting s{.lanes = ranks() + static_cast<std::int64_t>(seed) % 7,
              .streams = 1 + static_cast<int>(seed) % 3,
              .seed = seed,
              .peers = seed % 5 != 0,
              .device_messages = seed % 4 == 1};
    if (seed % 6 >= 4) s = in_rounds(s.lanes, s.streams, seed);
    s.leaf = LeafType::kBf16;
    if (seed % 3 > 0) s.nodes = alternating(1 + static_cast<int>(seed) % 3);
    expect_reference_bits(s, 3);
  }
}

// What a step of a rank with one lane and a node of its own sends.
std::int64_t bytes_of_a_step(LeafType leaf) {
  const auto communicator =
      make_communicator({30, test::node_list(ranks(), [](int rank) { return rank; })});
  test::LateDevice device(1);
  test::LateArithmetic arithmetic(device);
  FoldLayout layout = test::make_layout(kSizes, 1500, ranks(), 1);
  layout.leaf = leaf;
  const auto fold = make_fold(*communicator, layout, host_arithmetic(), ReduceKind::kFold,
                              {&device, &arithmetic});
  const auto on_host = make_fold(*communicator, layout, host_arithmetic(), ReduceKind::kFold);
  test::DeviceFoldDriver driver(*fold, layout, device, {});
  driver.run_step(0);
  driver.read(0);
  EXPECT_EQ(driver.check(0), "");
  test::run_step(*on_host, layout, 0, false);
  on_host->release();
  EXPECT_EQ(fold->counters().bytes_sent, on_host->counters().bytes_sent);
  return fold->counters().bytes_sent;
}

TEST(LateFold, sends_leaves_that_travel_alone_in_half) {
  if (ranks() == 1) return;
  // Pieces go out, as long as their sums that come back; records stay as they are.
  const FoldLayout layout = test::make_layout(kSizes, 1500, ranks(), 1);
  const auto communicator = make_communicator({});
  const std::int64_t saved = bytes_of_a_step(LeafType::kFp32) - bytes_of_a_step(LeafType::kBf16);
  std::int64_t mine = 0;  // elements that others own
  const Shards shards(layout, ranks());
  for (int b = 0; b < static_cast<int>(layout.buckets.size()); ++b)
    mine += layout.buckets[b].size() - shards.range(b, communicator->topology().position).size();
  EXPECT_EQ(saved, 2 * mine);
}

TEST(LateFold, knows_its_memory_of_rounds_beforehand) {
  const auto communicator = make_communicator({});
  test::LateDevice device(0);
  test::LateArithmetic arithmetic(device);
  FoldLayout layout = test::make_layout(kSizes, 1500, 8, 2);
  layout.sums = SumsTo::kOwners;
  layout.leaves = Leaves::kInRounds;
  const auto fold = make_fold(*communicator, layout, host_arithmetic(), ReduceKind::kFold,
                              {&device, &arithmetic});
  const FoldBytes bytes = fold_bytes(communicator->topology(), layout, ReduceKind::kFold, true);
  EXPECT_EQ(fold->window_bytes(), bytes.window);
  EXPECT_EQ(fold->private_bytes(), bytes.private_memory);
  EXPECT_EQ(fold->device_bytes(), bytes.device);
  EXPECT_GT(bytes.device, 0u);
}

TEST(LateFold, equals_the_one_tree_in_every_order_of_the_streams) {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    expect_reference_bits(
        {.lanes = 8, .streams = 2, .seed = seed, .drive = {seed % 2 == 1, seed % 4 > 1}}, 6);
  }
}

TEST(LateFold, stages_where_devices_do_not_reach_each_other) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const std::string path = expect_reference_bits({.lanes = 6 + static_cast<std::int64_t>(seed),
                                                    .streams = 1 + static_cast<int>(seed) % 3,
                                                    .seed = seed,
                                                    .peers = false,
                                                    .drive = {seed % 2 == 1, false}});
    EXPECT_EQ(path, ranks() == 1 ? "one rank" : "pinned staging (no peers here)");
  }
}

TEST(LateFold, stages_between_nodes) {
  if (ranks() == 1) return;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const int nodes = seed % 2 ? 2 : 3;
    set_message_limit(seed % 3 == 0 ? 777 : INT64_MAX);
    const std::string path = expect_reference_bits({.lanes = 7 + static_cast<std::int64_t>(seed),
                                                    .streams = 1 + static_cast<int>(seed) % 3,
                                                    .seed = seed,
                                                    .nodes = alternating(nodes)});
    EXPECT_EQ(path, ranks() > nodes ? "peers by CUDA IPC, between nodes pinned staging"
                                    : "pinned staging");
  }
  set_message_limit(INT64_MAX);
}

TEST(LateFold, sends_device_memory_where_mpi_takes_it) {
  if (ranks() == 1) return;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const int nodes = seed % 2 ? 2 : 3;
    const std::string path = expect_reference_bits({.lanes = 7 + static_cast<std::int64_t>(seed),
                                                    .streams = 1 + static_cast<int>(seed) % 3,
                                                    .seed = seed,
                                                    .nodes = alternating(nodes),
                                                    .device_messages = true});
    EXPECT_EQ(path, ranks() > nodes ? "peers by CUDA IPC, between nodes messages from device memory"
                                    : "messages from device memory");
  }
}

void expect_known_memory(const std::string& nodes, LeafType leaf) {
  const auto communicator = make_communicator({30, nodes});
  test::LateDevice device(0);
  test::LateArithmetic arithmetic(device);
  FoldLayout layout = test::make_layout(kSizes, 1500, 8, 2);
  layout.leaf = leaf;
  const auto fold = make_fold(*communicator, layout, host_arithmetic(), ReduceKind::kFold,
                              {&device, &arithmetic});
  const FoldBytes bytes = fold_bytes(communicator->topology(), layout, ReduceKind::kFold, true);
  EXPECT_EQ(fold->window_bytes(), bytes.window);
  EXPECT_EQ(fold->private_bytes(), bytes.private_memory);
  EXPECT_EQ(fold->device_bytes(), bytes.device);
}

TEST(LateFold, knows_its_device_memory_beforehand) {
  for (const LeafType leaf : {LeafType::kFp32, LeafType::kBf16}) {
    expect_known_memory("", leaf);
    expect_known_memory(alternating(2), leaf);
  }
}

TEST(LateFold, refuses_sums_by_mpi) {
  const auto communicator = make_communicator({});
  test::LateDevice device(0);
  test::LateArithmetic arithmetic(device);
  EXPECT_THROW(make_fold(*communicator, test::make_layout(kSizes, 1500, 8, 1), host_arithmetic(),
                         ReduceKind::kMpi, {&device, &arithmetic}),
               UserError);
}

}  // namespace
}  // namespace lockstep::comm
