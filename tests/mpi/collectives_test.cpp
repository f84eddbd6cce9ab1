// Every verb of the communicator in random order, on random sizes, roots and placements, against
// what each rank can work out by itself: all draw the same numbers, so all know what all hold.
// SEED and ROUNDS choose more of them than the sample that always runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <random>
#include <thread>

#include "comm/mpi_call.h"
#include "comm/record_messages.h"
#include "comm/together.h"
#include "lockstep/comm/communicator.h"
#include "lockstep/core/error.h"
#include "support/node_list.h"

namespace lockstep::comm {
namespace {

using Random = std::mt19937_64;

int setting(const char* name, int otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::atoi(text) : otherwise;
}

std::int64_t below(Random& random, std::int64_t end) {
  return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(end));
}

// Bytes by the name of who holds them.
std::vector<std::byte> contents(std::uint64_t name, std::int64_t count) {
  Random random(name);
  std::vector<std::byte> bytes(static_cast<std::size_t>(count));
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

// None, one, odd, a page and one, or anything up to 5000.
std::int64_t some_count(Random& random) {
  constexpr std::int64_t kEdges[] = {0, 0, 1, 2, 7, 4095, 4096, 4097};
  return random() % 2 ? kEdges[random() % std::size(kEdges)] : below(random, 5000);
}

// Position of each rank: nodes in the order of their lowest ranks, ranks in order within a node.
std::vector<int> expected_order(const std::vector<int>& node_of_rank) {
  std::vector<int> order;
  for (std::size_t r = 0; r < node_of_rank.size(); ++r) {
    if (std::find(order.begin(), order.end(), static_cast<int>(r)) != order.end()) continue;
    for (std::size_t s = r; s < node_of_rank.size(); ++s) {
      if (node_of_rank[s] == node_of_rank[r]) order.push_back(static_cast<int>(s));
    }
  }
  return order;
}

// One communicator of a random placement, and the verbs, each checked.
class Round {
 public:
  explicit Round(std::uint64_t seed) : random_(seed), world_(make_communicator({})) {
    const Topology& hosts = world_->topology();
    nodes_.resize(hosts.rank_at.size());
    for (int p = 0; p < world_->size(); ++p) {  // each host is divided, none are joined
      nodes_[hosts.rank_at[p]] = 3 * hosts.node_of[p] + static_cast<int>(below(random_, 3));
    }
    order_ = expected_order(nodes_);
    c_ = make_communicator(
        {30, test::node_list(world_->size(), [&](int rank) { return nodes_[rank]; })});
    arrivals_ = world_->make_window(sizeof(std::atomic<int>), "arrivals");
    // The largest message: at most some fifty for the largest count.
    constexpr std::int64_t kLimits[] = {100, 777, 4096, INT64_MAX};
    set_message_limit(kLimits[random_() % std::size(kLimits)]);
  }
  ~Round() { set_message_limit(INT64_MAX); }
  Round(const Round&) = delete;
  Round& operator=(const Round&) = delete;

  void topology() {
    const Topology& t = c_->topology();
    EXPECT_EQ(t.rank_at, order_);
    EXPECT_EQ(t.rank_at[t.position], c_->rank());
    for (int p = 0; p < size(); ++p) {
      EXPECT_LE(t.node_begin[t.node_of[p]], p);
      EXPECT_GT(t.node_begin[t.node_of[p] + 1], p);
      for (int q = 0; q < size(); ++q) {
        EXPECT_EQ(t.node_of[p] == t.node_of[q], nodes_[order_[p]] == nodes_[order_[q]]);
      }
    }
  }

  // Whoever has left the barrier sees that everybody of this host has come to it.
  void barrier() {
    ++barriers_;
    if (random_() % size() == static_cast<std::uint64_t>(c_->rank())) late();
    const Topology& host = world_->topology();
    arrived(host.local()).store(barriers_);
    c_->barrier();
    for (int l = 0; l < host.local_ranks(); ++l) EXPECT_GE(arrived(l).load(), barriers_);
  }

  void broadcast() {
    const auto root = static_cast<int>(below(random_, size()));
    const std::int64_t count = some_count(random_), shift = below(random_, 9);
    const auto expected = contents(random_(), count);
    constexpr std::byte kGuard{0xa5};
    std::vector<std::byte> bytes(static_cast<std::size_t>(shift + count + 1), kGuard);
    if (c_->rank() == root) std::copy(expected.begin(), expected.end(), bytes.begin() + shift);
    c_->broadcast(std::span(bytes).subspan(shift, count), root);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), bytes.begin() + shift));
    EXPECT_EQ(std::count(bytes.begin(), bytes.begin() + shift, kGuard), shift);
    EXPECT_EQ(bytes.back(), kGuard);
  }

  void values_and_texts() {
    const auto root = static_cast<int>(below(random_, size()));
    const auto expected = static_cast<double>(random_());
    double value = c_->rank() == root ? expected : 0;
    broadcast_value(*c_, value, root);
    EXPECT_EQ(value, expected);
    std::string text(static_cast<std::size_t>(some_count(random_)), 'x');
    for (char& letter : text) letter = static_cast<char>('a' + below(random_, 26));
    EXPECT_EQ(broadcast_text(*c_, c_->rank() == root ? text : "another", root), text);
  }

  void gather_all() {
    const std::uint64_t name = random_();
    const bool all_empty = random_() % 8 == 0;
    std::vector<std::vector<std::byte>> of_rank;
    for (int r = 0; r < size(); ++r) {
      of_rank.push_back(
          contents(name + static_cast<std::uint64_t>(r), all_empty ? 0 : some_count(random_)));
    }
    std::vector<std::byte> expected;
    for (const int r : order_)
      expected.insert(expected.end(), of_rank[r].begin(), of_rank[r].end());
    EXPECT_TRUE(c_->gather_all(of_rank[c_->rank()]) == expected);
  }

  void extremes() {
    using Limits = std::numeric_limits<std::int64_t>;
    constexpr std::int64_t kEdges[] = {Limits::min(), -1, 0, 1, Limits::max()};
    std::vector<std::int64_t> values;
    for (int r = 0; r < size(); ++r) {
      values.push_back(random_() % 3 ? static_cast<std::int64_t>(random_())
                                     : kEdges[random_() % std::size(kEdges)]);
    }
    EXPECT_EQ(c_->min(values[c_->rank()]), *std::min_element(values.begin(), values.end()));
    EXPECT_EQ(c_->max(values[c_->rank()]), *std::max_element(values.begin(), values.end()));
  }

  void together() {
    constexpr ExitCode kCodes[] = {ExitCode::kUser, ExitCode::kData, ExitCode::kBug};
    std::vector<int> fails;  // by rank: index of a code, or -1
    for (int r = 0; r < size(); ++r) fails.push_back(static_cast<int>(below(random_, 6)) - 3);
    const auto says = [&](int r) {
      return fmt::format("rank {}: {}", r, std::string(static_cast<std::size_t>(r * 400), '.'));
    };
    const auto first =
        std::find_if(order_.begin(), order_.end(), [&](int r) { return fails[r] >= 0; });
    bool ran = false, threw = false;
    try {
      c_->together([&] {
        ran = true;
        const int mine = fails[c_->rank()];
        if (mine >= 0) throw_again(kCodes[mine], says(c_->rank()));
      });
    } catch (const Error& error) {
      threw = true;
      ASSERT_NE(first, order_.end()) << error.what();
      EXPECT_EQ(error.what(), says(*first));
      EXPECT_EQ(error.code(), kCodes[fails[*first]]);
    }
    EXPECT_TRUE(ran);
    EXPECT_EQ(threw, first != order_.end());
  }

  // Zero at first; then each rank writes its part, and the ranks of its node, they alone, see it.
  void window() {
    const Topology& t = c_->topology();
    const std::uint64_t name = random_();
    std::vector<std::int64_t> counts;  // by position
    for (int p = 0; p < size(); ++p) counts.push_back(some_count(random_));
    const auto window = c_->make_window(static_cast<std::size_t>(counts[t.position]), "a test");
    const auto of = [&](int local) { return std::span(window->part(local), window->bytes(local)); };
    const auto mine = contents(name + static_cast<std::uint64_t>(t.position), counts[t.position]);
    for (const std::byte b : of(t.local())) ASSERT_EQ(b, std::byte{0});
    std::copy(mine.begin(), mine.end(), of(t.local()).begin());
    c_->barrier();
    for (int l = 0; l < t.local_ranks(); ++l) {
      const int p = t.node_begin[t.node()] + l;
      const auto theirs = contents(name + static_cast<std::uint64_t>(p), counts[p]);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(window->part(l)) % 64, 0u);
      EXPECT_TRUE(std::equal(theirs.begin(), theirs.end(), of(l).begin(), of(l).end()))
          << "local " << l;
    }
    c_->barrier();  // nobody writes the next one's memory while a peer still compares
  }

  // Lanes' records: cut anywhere over the positions, some of them empty.
  void records() {
    const std::int64_t lanes = 1 + below(random_, 20);
    std::vector<std::int64_t> cuts{0, lanes};
    for (int p = 1; p < size(); ++p) cuts.push_back(below(random_, lanes + 1));
    std::sort(cuts.begin(), cuts.end());
    std::vector<LaneRange> ranges;
    for (int p = 0; p < size(); ++p) ranges.push_back({cuts[p], cuts[p + 1]});
    const std::int64_t record = 1 + below(random_, 70);
    RecordMessages messages(MPI_COMM_WORLD, c_->topology(), ranges,
                            static_cast<std::size_t>(record));
    for (int step = 0; step < 2; ++step) {
      const auto all = contents(random_(), lanes * record);
      const LaneRange& mine = ranges[c_->topology().position];
      std::copy(all.begin() + mine.begin * record, all.begin() + mine.end * record,
                messages.record(mine.begin));
      messages.start();
      while (!messages.test()) std::this_thread::yield();
      EXPECT_TRUE(std::equal(all.begin(), all.end(), messages.record(0)));
    }
  }

  void run(int verbs) {
    constexpr void (Round::*kVerbs[])() = {
        &Round::barrier,  &Round::broadcast, &Round::values_and_texts, &Round::gather_all,
        &Round::extremes, &Round::together,  &Round::window,           &Round::records};
    topology();
    for (int v = 0; v < verbs; ++v) {
      const std::size_t verb = random_() % std::size(kVerbs);
      SCOPED_TRACE(fmt::format("verb {} of the round is number {}", v, verb));
      // A rank of its own comes late each time.
      if (below(random_, 4 * size()) == c_->rank()) late();
      (this->*kVerbs[verb])();
    }
    c_->barrier();
  }

 private:
  int size() const { return c_->size(); }
  static void late() { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }
  std::atomic<int>& arrived(int local) {
    return *reinterpret_cast<std::atomic<int>*>(arrivals_->part(local));
  }

  Random random_;  // the same on all ranks
  std::vector<int> nodes_, order_;
  std::unique_ptr<Communicator> world_, c_;
  std::unique_ptr<SharedWindow> arrivals_;  // of the host, whatever nodes it is divided into
  int barriers_ = 0;
};

TEST(Collectives, do_what_they_say_in_any_order_on_any_sizes_and_placement) {
  const auto world = make_communicator({});
  const int seed = setting("SEED", 1), rounds = setting("ROUNDS", 8);
  for (int round = 0; round < rounds; ++round) {
    const std::uint64_t name =
        static_cast<std::uint64_t>(seed) * 1000003 + static_cast<std::uint64_t>(round);
    SCOPED_TRACE(fmt::format("seed {}, round {}", seed, round));
    Round(name).run(16);
    ASSERT_EQ(world->max(testing::Test::HasFailure()), 0);
  }
}

}  // namespace
}  // namespace lockstep::comm
