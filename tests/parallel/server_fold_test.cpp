// The fold of a parameter server under mpirun: each server's shard is bit for bit the one tree.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <optional>

#include "lockstep/comm/server_exchange.h"
#include "lockstep/comm/shards.h"
#include "support/allocation_count.h"
#include "support/device_fold_driver.h"
#include "support/fold_driver.h"
#include "support/late_device.h"
#include "support/node_list.h"

namespace lockstep::comm {
namespace {

const std::vector<std::int64_t> kSizes{1, 7, 4097, 31, 32, 33, 1000, 9001, 1023, 4096, 12289};

std::string check(const Fold& fold, const FoldLayout& layout, std::int64_t step, int server,
                  int servers) {
  const Shards shards(layout, servers);
  for (std::size_t i = 0; i < layout.blocks.size(); ++i) {
    const Range& block = layout.blocks[i];
    const bool mine = shards.owner(static_cast<int>(i)) == server;
    const float* const sum = mine ? fold.sum(static_cast<int>(i)) : nullptr;
    double squares = 0;
    for (std::int64_t e = block.begin; e < block.end; ++e) {
      const float expected = test::expected_sum(step, layout.lanes, e, layout.leaf);
      squares += static_cast<double>(expected) * expected;
      if (mine && std::bit_cast<std::uint32_t>(sum[e - block.begin]) !=
                      std::bit_cast<std::uint32_t>(expected))
        return fmt::format("step {}, element {}: {} instead of {}", step, e, sum[e - block.begin],
                           expected);
    }
    if (!(fold.block_value(static_cast<int>(i)) == squares))
      return fmt::format("step {}, block {}: another sum of squares", step, i);
  }
  for (std::int64_t lane = 0; lane < layout.lanes + servers; ++lane) {
    test::InventedRecord record{};
    std::memcpy(&record, fold.record(lane), sizeof record);
    if (record.step != step || record.lane != lane)
      return fmt::format("step {}: record {} is that of {}", step, lane, record.lane);
  }
  return "";
}

void expect_reference_bits(const CommOptions& options, FoldLayout layout, int servers, int steps) {
  const auto communicator = make_communicator(options);
  const ServerRoles roles{communicator->size(), servers};
  const int server = communicator->topology().position - roles.workers();
  const auto fold = make_server_fold(*communicator, layout, servers, test::plain_arithmetic());
  for (int step = 0; step < steps; ++step) {
    if (server >= 0) {
      const test::InventedRecord record{step, layout.lanes + server, 0};
      fold->set_record(layout.lanes + server, &record);
    }
    test::run_step(*fold, layout, step, (step + communicator->rank()) % 3 == 1);
    const std::string difference = check(*fold, layout, step, server, servers);
    fold->release();
    ASSERT_EQ(communicator->max(difference.empty() ? 0 : 1), 0) << difference;
    communicator->barrier();  // as parameters do: no worker pushes before the servers have read
  }
}

int ranks() { return make_communicator({})->size(); }

TEST(ServerFold, equals_the_serial_tree_on_every_number_of_servers) {
  for (int servers = 1; servers < ranks(); ++servers) {
    for (const std::int64_t lanes : {6, 8, 12}) {
      for (const int streams : {1, 2}) {
        SCOPED_TRACE(fmt::format("{} servers, {} lanes, {} streams", servers, lanes, streams));
        expect_reference_bits({}, test::make_layout(kSizes, 5000, lanes, streams), servers, 4);
      }
    }
  }
}

TEST(ServerFold, equals_the_serial_tree_between_pretended_nodes_and_with_leaves_of_bf16) {
  const std::string nodes = test::node_list(ranks(), [](int rank) { return rank % 2; });
  FoldLayout layout = test::make_layout(kSizes, 5000, 8, 1);
  for (const LeafType leaf : {LeafType::kFp32, LeafType::kBf16}) {
    layout.leaf = leaf;
    expect_reference_bits({30, nodes}, layout, 1, 3);
  }
}

// Workers' leaves and sums are on a device whose streams run late; the servers have none.
void expect_reference_bits_of_late_workers(const FoldLayout& layout, int servers,
                                           std::uint64_t seed) {
  SCOPED_TRACE(fmt::format("{} servers, {} lanes, {} streams, seed {}", servers, layout.lanes,
                           layout.streams, seed));
  const auto communicator = make_communicator({});
  const int workers = ServerRoles{communicator->size(), servers}.workers();
  const int server = communicator->topology().position - workers;
  test::LateDevice device(100 * seed + communicator->rank());
  test::LateArithmetic arithmetic(device);
  const auto fold = make_server_fold(*communicator, layout, servers, test::plain_arithmetic(),
                                     server < 0 ? FoldDevice{&device, &arithmetic} : FoldDevice{});
  std::optional<test::DeviceFoldDriver> worker;
  if (server < 0) worker.emplace(*fold, layout, device, test::DriveOptions{seed % 2 == 1, false});
  EXPECT_EQ(fold->device_bytes() > 0, server < 0);
  for (int step = 0; step < 3; ++step) {
    if (server < 0) {
      worker->run_step(step);
    } else {
      const test::InventedRecord record{step, layout.lanes + server, 0};
      fold->set_record(layout.lanes + server, &record);
      fold->finish(step);
    }
    const std::string difference = check(*fold, layout, step, server, servers);
    fold->release();
    ASSERT_EQ(communicator->max(difference.empty() ? 0 : 1), 0) << difference;
    communicator->barrier();
  }
}

TEST(ServerFold, takes_the_lanes_of_workers_on_late_devices) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    FoldLayout layout = test::make_layout(kSizes, 5000, ranks() + static_cast<std::int64_t>(seed),
                                          1 + static_cast<int>(seed) % 2);
    if (seed > 2) layout.leaf = LeafType::kBf16;
    expect_reference_bits_of_late_workers(layout, seed % 3 == 0 ? ranks() - 1 : 1, seed);
  }
}

TEST(ServerFold, allocates_nothing_in_a_step) {
  const auto communicator = make_communicator({});
  const FoldLayout layout = test::make_layout(kSizes, 5000, 8, 1);
  const auto fold = make_server_fold(*communicator, layout, 1, test::plain_arithmetic());
  const bool serves =
      ServerRoles{communicator->size(), 1}.serves(communicator->topology().position);
  const std::int64_t before = test::allocation_count();
  for (int step = 0; step < 3; ++step) {
    const test::InventedRecord record{step, 8, 0};
    if (serves) fold->set_record(8, &record);
    test::run_step(*fold, layout, step, false);
  }
  EXPECT_EQ(test::allocation_count() - before, 0);
  communicator->barrier();
}

TEST(ServerExchange, keeps_the_order_of_letters_and_of_parcels_with_one_tag) {
  const auto communicator = make_communicator({});
  const int me = communicator->topology().position, all = communicator->size();
  constexpr int kRounds = 500;
  const auto exchange = make_server_exchange(*communicator, sizeof(int));
  std::vector<std::vector<int>> out(all, std::vector<int>(70000)), in = out;
  std::vector<int> sends(all), receives(all), letters(all);
  for (int p = 0; p < all; ++p) {
    if (p == me) continue;
    const auto cut = [](std::vector<int>& v) {  // one of no bytes, one of many
      const auto bytes = std::as_writable_bytes(std::span(v));
      return std::vector<std::span<std::byte>>{bytes.first(4), bytes.subspan(4, 0),
                                               bytes.subspan(4)};
    };
    sends[p] = exchange->plan_send(p, 3, cut(out[p]));
    receives[p] = exchange->plan_receive(p, 3, cut(in[p]));
    EXPECT_TRUE(exchange->done(sends[p]));
  }
  int wrong = 0, taken = 0;
  const auto take_all = [&] {
    int number = 0;
    for (int from = 0; (from = exchange->take(std::as_writable_bytes(std::span(&number, 1)))) >= 0;
         ++taken)
      wrong += number != letters[from]++;
  };
  for (int round = 0; round < kRounds; ++round) {
    for (int p = 0; p < all; ++p) {
      if (p != me) exchange->post(p, std::as_bytes(std::span(&round, 1)));
    }
    if (round % 7 == 0) take_all();
    if (round % 100 != 0) continue;
    for (int p = 0; p < all; ++p) {
      if (p == me) continue;
      std::fill(out[p].begin(), out[p].end(), round + me);
      exchange->start(receives[p]);
      exchange->start(sends[p]);
    }
    exchange->wait("parcels", round, [&] {
      take_all();
      for (int p = 0; p < all; ++p) {
        if (p != me && !(exchange->done(sends[p]) && exchange->done(receives[p]))) return false;
      }
      return true;
    });
    for (int p = 0; p < all; ++p) {
      if (p != me) wrong += in[p].front() != round + p || in[p].back() != round + p;
    }
  }
  exchange->wait("letters", 0, [&] {
    take_all();
    return taken == kRounds * (all - 1) && exchange->all_posted();
  });
  EXPECT_EQ(wrong, 0);
  communicator->barrier();
}

}  // namespace
}  // namespace lockstep::comm
