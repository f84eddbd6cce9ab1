// Shared parameters under mpirun: every value that a rank reads is the one that its owner wrote in
// this step, on a node and between pretended nodes, whoever dawdles.
#include "lockstep/comm/shared_flat.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <chrono>
#include <climits>
#include <functional>
#include <random>
#include <thread>

#include "comm/mpi_call.h"
#include "comm/pages.h"
#include "comm/shared_window.h"
#include "support/allocation_count.h"
#include "support/flat_layouts.h"
#include "support/node_list.h"

namespace lockstep::comm {
namespace {

float value(std::int64_t step, std::int64_t element) {
  return static_cast<float>((step * 1000003 + element * 7919 + 1) % 16777213);
}

// By number of ranks; "" is one node.
const std::vector<std::string>& placements(int ranks) {
  static const std::vector<std::vector<std::string>> by_ranks{
      {},
      {""},
      {"", "0,1"},
      {"", "0,1,1", "0,1,0", "0,1,2"},
      {"", "0,0,0,1", "0,1,0,1"},
      {"0,0,1,1,1", "0,1,0,1,0"},
      {"0,0,1,1,1,2", "0,1,2,0,1,2"},
      {},
      {"", "0,0,0,1,1,1,1,2", "0,1,0,1,0,1,0,1"}};
  return by_ranks.at(ranks);
}

int ranks() { return make_communicator({})->size(); }

// One rank's part in a run.
class Runner {
 public:
  Runner(Communicator& communicator, const FlatLayout& layout)
      : communicator_(communicator),
        layout_(layout),
        flat_(make_shared_flat(communicator, layout)),
        random_(17 * communicator.rank() + 1) {}

  SharedFlat& flat() { return *flat_; }
  void dawdle(int most_microseconds) { most_ = most_microseconds; }
  void see_own_shards_only() { shared_ = false; }  // in kShards

  void write(std::int64_t step, int bucket) {
    const Range mine = flat_->shards().range(bucket, communicator_.topology().position);
    for (std::int64_t e = mine.begin; e < mine.end; ++e) flat_->flat()[e] = value(step, e);
  }

  // As after a fold: nobody begins before all have come.
  void update(std::int64_t step) {
    communicator_.barrier();
    const int buckets = static_cast<int>(layout_.fold.buckets.size());
    for (int b = 0; b < buckets; ++b) {
      wait_a_little();
      write(step, b);
      flat_->publish(b, step);
    }
    for (int b = 0; b < buckets; ++b) {
      flat_->await(b, step);
      check(layout_.fold.buckets[b], flat_->flat(), 0, step);
      wait_a_little();
    }
  }

  void pass(std::int64_t step, int uses) {
    flat_->begin_pass(uses);
    for (int u = 0; u < uses; ++u) {
      const auto& ranges = layout_.uses[u].ranges;
      std::vector<const float*> at(ranges.size());
      wait_a_little();
      flat_->hold(u, at.data());
      for (int again = 0; again < 2; ++again) {  // it stays
        for (std::size_t r = 0; r < ranges.size(); ++r)
          check(ranges[r], at[r], ranges[r].begin, step, true);
        wait_a_little();
      }
      flat_->release(u);
    }
  }

  std::string difference() const { return difference_; }

 private:
  // Blocks that this node holds, or `all` of the range.
  void check(const Range& range, const float* data, std::int64_t first, std::int64_t step,
             bool all = false) {
    const Topology& topology = communicator_.topology();
    for (std::size_t i = 0; i < layout_.fold.blocks.size() && difference_.empty(); ++i) {
      const Range& block = layout_.fold.blocks[i];
      if (block.begin < range.begin || block.begin >= range.end) continue;
      const int owner = flat_->shards().owner(static_cast<int>(i));
      const bool here =
          shared_ ? topology.node_of[owner] == topology.node() : owner == topology.position;
      if (!all && layout_.extent == FlatExtent::kShards && !here) continue;
      for (std::int64_t e = block.begin; e < block.end; ++e) {
        if (data[e - first] == value(step, e)) continue;
        difference_ = fmt::format("step {}, element {}: {} instead of {}", step, e, data[e - first],
                                  value(step, e));
        break;
      }
    }
  }

  void wait_a_little() {
    if (most_ == 0 || random_() % 4 != 0) return;
    std::this_thread::sleep_for(std::chrono::microseconds(random_() % most_));
  }

  Communicator& communicator_;
  const FlatLayout& layout_;
  std::unique_ptr<SharedFlat> flat_;
  std::mt19937 random_;
  int most_ = 0;
  bool shared_ = true;
  std::string difference_;
};

void expect_values(const std::string& nodes, const FlatLayout& layout, int steps) {
  SCOPED_TRACE(nodes);
  const auto communicator = make_communicator({30, nodes});
  Runner runner(*communicator, layout);
  const int uses = layout.extent == FlatExtent::kShards ? static_cast<int>(layout.uses.size()) : 0;
  for (int step = 0; step < steps; ++step) {
    runner.dawdle(step % 2 == 0 ? 0 : 400);
    runner.update(step);
    for (int pass = 0; uses > 0 && pass < 3; ++pass)  // forward alone, an odd number, all
      runner.pass(step, pass == 0 ? uses / 2 : pass == 1 ? (uses - 1) | 1 : uses);
  }
  const std::string difference = runner.difference();
  ASSERT_EQ(communicator->max(difference.empty() ? 0 : 1), 0) << difference;
}

void expect_values_everywhere(FlatExtent extent) {
  for (const std::string& nodes : placements(ranks())) {
    for (unsigned seed = 0; seed < 6; ++seed)
      expect_values(nodes, test::random_flat(seed, extent), 4);
  }
}

TEST(SharedFlat, brings_all_shards_to_every_node) { expect_values_everywhere(FlatExtent::kWhole); }

TEST(SharedFlat, brings_the_ranges_of_each_use) { expect_values_everywhere(FlatExtent::kShards); }

TEST(SharedFlat, splits_messages_that_are_too_long) {
  set_message_limit(777);
  for (const FlatExtent extent : {FlatExtent::kWhole, FlatExtent::kShards}) {
    for (const std::string& nodes : placements(ranks()))
      expect_values(nodes, test::random_flat(3, extent), 2);
  }
  set_message_limit(INT_MAX);
}

TEST(SharedFlat, keeps_a_use_until_the_slowest_reader_has_released_it) {
  for (const std::string& nodes : placements(ranks())) {
    const auto communicator = make_communicator({30, nodes});
    const FlatLayout layout = test::random_flat(2, FlatExtent::kShards);
    Runner runner(*communicator, layout);
    for (int step = 0; step < 3; ++step) {
      runner.update(step);
      for (int pass = 0; pass < 2 * communicator->size(); ++pass) {
        runner.dawdle(pass % communicator->size() == communicator->rank() ? 4000 : 0);
        runner.pass(step, 4 + pass % 2);
      }
    }
    const std::string difference = runner.difference();
    ASSERT_EQ(communicator->max(difference.empty() ? 0 : 1), 0) << nodes << ": " << difference;
  }
}

TEST(SharedFlat, gives_addresses_in_the_flat_buffer_where_all_is_on_the_node) {
  const auto communicator = make_communicator({});
  const FlatLayout layout = test::random_flat(1, FlatExtent::kShards);
  Runner runner(*communicator, layout);
  SharedFlat& flat = runner.flat();
  runner.update(0);
  flat.begin_pass(1);
  std::vector<const float*> at(layout.uses[0].ranges.size());
  flat.hold(0, at.data());
  for (std::size_t r = 0; r < at.size(); ++r)
    EXPECT_EQ(at[r], flat.flat() + layout.uses[0].ranges[r].begin);
  flat.release(0);
  EXPECT_EQ(flat.gathered_bytes(), 0u);
  EXPECT_EQ(flat.counters().bytes_sent, 0);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(flat.flat()) % kPage, 0u);
  communicator->barrier();
}

// One parameter of many blocks, so that shards are runs of whole pages.
FlatLayout one_parameter(std::int64_t blocks, FlatExtent extent) {
  FlatLayout layout;
  layout.extent = extent;
  layout.fold.flat_elements = blocks * 4096;
  for (std::int64_t b = 0; b < blocks; ++b)
    layout.fold.blocks.push_back({b * 4096, (b + 1) * 4096});
  for (std::int64_t end = blocks; end > 0; end -= std::min<std::int64_t>(end, 32))
    layout.fold.buckets.push_back({std::max<std::int64_t>(0, end - 32) * 4096, end * 4096});
  layout.uses = {{{{0, layout.fold.flat_elements / 2}}},
                 {{{layout.fold.flat_elements / 2, layout.fold.flat_elements}}}};
  return layout;
}

TEST(SharedFlat, holds_no_page_of_another_nodes_shards) {
  for (const std::string& nodes : placements(ranks())) {
    const auto communicator = make_communicator({30, nodes});
    const FlatLayout layout = one_parameter(128, FlatExtent::kShards);
    Runner runner(*communicator, layout);
    runner.update(0);
    runner.pass(0, 2);
    communicator->barrier();
    const Topology& topology = communicator->topology();
    std::vector<unsigned char> resident(layout.fold.flat_elements * sizeof(float) / kPage);
    ASSERT_EQ(::mincore(runner.flat().flat(), resident.size() * kPage, resident.data()), 0);
    for (std::size_t page = 0; page < resident.size(); ++page) {
      const int owner = runner.flat().shards().owner(static_cast<int>(page / 4));
      ASSERT_EQ(resident[page] & 1, topology.node_of[owner] == topology.node() ? 1 : 0) << page;
    }
  }
}

TEST(SharedFlat, holds_the_bytes_that_were_foretold) {
  for (const std::string& nodes : placements(ranks())) {
    const auto communicator = make_communicator({30, nodes});
    const Topology& topology = communicator->topology();
    for (const FlatExtent extent : {FlatExtent::kWhole, FlatExtent::kShards}) {
      const FlatLayout layout = one_parameter(96, extent);
      const auto flat = make_shared_flat(*communicator, layout);
      const FlatBytes bytes = flat_bytes(topology, layout);
      EXPECT_EQ(flat->resident_bytes(), bytes.resident);
      EXPECT_EQ(flat->gathered_bytes(), bytes.gathered);
      const auto sum_of_node = [&](std::size_t mine) {
        const auto all = communicator->gather_all(std::as_bytes(std::span(&mine, 1)));
        std::size_t sum = 0;
        for (int p = topology.node_begin[topology.node()];
             p < topology.node_begin[topology.node() + 1]; ++p)
          sum += reinterpret_cast<const std::size_t*>(all.data())[p];
        return sum;
      };
      const std::size_t all = layout.fold.flat_elements * sizeof(float);
      std::int64_t held = 0;
      for (int p = 0; p < topology.ranks(); ++p) {
        if (extent == FlatExtent::kWhole || topology.node_of[p] == topology.node())
          held += flat->shards().elements(p);
      }
      EXPECT_EQ(sum_of_node(bytes.resident), held * sizeof(float));
      const bool gathers = extent == FlatExtent::kShards && topology.nodes() > 1;
      EXPECT_EQ(sum_of_node(bytes.gathered), gathers ? all : 0);  // two places of half each
    }
  }
}

TEST(SharedFlat, sends_each_shard_once_to_each_other_node) {
  for (const std::string& nodes : placements(ranks())) {
    const auto communicator = make_communicator({30, nodes});
    for (const FlatExtent extent : {FlatExtent::kWhole, FlatExtent::kShards}) {
      const FlatLayout layout = one_parameter(96, extent);
      Runner runner(*communicator, layout);
      runner.update(0);
      if (extent == FlatExtent::kShards) runner.pass(0, 2);
      const Topology& topology = communicator->topology();
      const std::int64_t mine = runner.flat().shards().elements(topology.position);
      EXPECT_EQ(runner.flat().counters().bytes_sent, 4 * mine * (topology.nodes() - 1));
      communicator->barrier();
    }
  }
}

TEST(SharedFlat, counts_waiting_as_exposed_and_flight_during_work_as_hidden) {
  for (const std::string& nodes : placements(ranks())) {
    const auto communicator = make_communicator({30, nodes});
    if (communicator->size() == 1) continue;
    const FlatLayout layout = one_parameter(96, FlatExtent::kWhole);
    Runner runner(*communicator, layout);
    const auto compute = [](int milliseconds) {
      std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    };
    const int buckets = static_cast<int>(layout.fold.buckets.size());
    for (int b = 0; b < buckets; ++b) runner.write(0, b);
    communicator->barrier();
    const bool late = communicator->rank() == 0;
    if (late) compute(180);
    for (int b = 0; b < buckets; ++b) runner.flat().publish(b, 0);
    if (!late) compute(60);
    for (int b = 0; b < buckets; ++b) runner.flat().await(b, 0);
    const WaitTimes& wait = runner.flat().counters().wait;
    if (!late) {
      EXPECT_GE(wait.exposed, 0.040);
      EXPECT_LT(wait.exposed, 5);
    }
    // The late rank's shard is missing here while this rank computes, if it comes by message.
    const Topology& topology = communicator->topology();
    if (topology.nodes() == topology.ranks() && !late) {
      EXPECT_GE(wait.hidden, 0.050);
    } else if (topology.nodes() == 1) {
      EXPECT_EQ(wait.hidden, 0);
    }
    communicator->barrier();
  }
}

TEST(SharedFlat, allocates_nothing_in_a_step) {
  for (const std::string& nodes : placements(ranks())) {
    const auto communicator = make_communicator({30, nodes});
    const FlatLayout layout = test::random_flat(2, FlatExtent::kShards);
    const auto flat = make_shared_flat(*communicator, layout);
    const float* at[16];
    const auto step = [&](int s) {
      communicator->barrier();
      for (std::size_t b = 0; b < layout.fold.buckets.size(); ++b)
        flat->publish(static_cast<int>(b), s);
      for (std::size_t b = 0; b < layout.fold.buckets.size(); ++b)
        flat->await(static_cast<int>(b), s);
      flat->begin_pass(static_cast<int>(layout.uses.size()));
      for (int u = 0; u < static_cast<int>(layout.uses.size()); ++u) {
        flat->hold(u, at);
        flat->release(u);
      }
    };
    step(0);
    const std::int64_t before = test::allocation_count();
    for (int s = 1; s < 4; ++s) step(s);
    EXPECT_EQ(test::allocation_count() - before, 0);
    communicator->barrier();
  }
}

TEST(SharedFlat, brings_all_by_messages_when_shared_memory_is_too_small) {
  const auto communicator = make_communicator({});
  if (communicator->size() == 1) return;  // one rank uses private memory
  for (const FlatExtent extent : {FlatExtent::kWhole, FlatExtent::kShards}) {
    set_shared_memory_limit(10000);
    ::testing::internal::CaptureStderr();
    const FlatLayout layout = test::random_flat(6, extent);
    Runner runner(*communicator, layout);
    runner.see_own_shards_only();
    const std::string said = ::testing::internal::GetCapturedStderr();
    set_shared_memory_limit(-1);
    EXPECT_EQ(said.find("/dev/shm on") != std::string::npos, communicator->rank() == 0) << said;
    for (int step = 0; step < 3; ++step) {
      runner.update(step);
      if (extent == FlatExtent::kShards) runner.pass(step, static_cast<int>(layout.uses.size()));
    }
    EXPECT_EQ(runner.difference(), "");
    EXPECT_GT(communicator->max(runner.flat().counters().bytes_sent), 0);
    communicator->barrier();
  }
}

TEST(SharedFlat, asks_shared_memory_only_for_what_the_node_holds) {
  for (const std::string& nodes : placements(ranks())) {
    const auto communicator = make_communicator({30, nodes});
    FlatLayout layout = one_parameter(512, FlatExtent::kShards);
    layout.uses = {{{{0, 4096}}}};
    const Topology& topology = communicator->topology();
    // The node's shards, and a few pages for flags and for gathering.
    set_shared_memory_limit(512 * 16384 / topology.ranks() * topology.local_ranks() + 300000);
    ::testing::internal::CaptureStderr();
    const auto flat = make_shared_flat(*communicator, layout);
    EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
    set_shared_memory_limit(-1);
    communicator->barrier();
  }
}

}  // namespace
}  // namespace lockstep::comm
