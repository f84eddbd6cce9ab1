#include "lockstep/comm/communicator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <set>
#include <sstream>

#include "comm/mpi_call.h"
#include "comm/shared_window.h"
#include "lockstep/comm/links.h"
#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "support/node_list.h"

namespace lockstep::comm {
namespace {

std::string each_own_parity(int size) {  // round-robin over two nodes
  return test::node_list(size, [](int rank) { return rank % 2; });
}

TEST(Communicator, gathers_by_position_whatever_the_placement_and_the_message_limit) {
  const int size = make_communicator({})->size();
  for (const std::string& nodes : {std::string(), each_own_parity(size)}) {
    const auto c = make_communicator({30, nodes});
    for (const std::int64_t limit : {std::int64_t{5}, std::int64_t{INT64_MAX}}) {
      set_message_limit(limit);
      const std::vector<std::byte> mine(3 * c->topology().position + 1,
                                        static_cast<std::byte>(c->topology().position));
      std::vector<std::byte> expected;
      for (int p = 0; p < size; ++p)
        expected.insert(expected.end(), 3 * p + 1, static_cast<std::byte>(p));
      EXPECT_EQ(c->gather_all(mine), expected);
      set_message_limit(INT64_MAX);
    }
  }
}

TEST(Communicator, gathers_to_one_rank_message_by_message) {
  const int size = make_communicator({})->size();
  for (const std::string& nodes : {std::string(), each_own_parity(size)}) {
    const auto c = make_communicator({30, nodes});
    for (const std::int64_t limit : {std::int64_t{5}, std::int64_t{INT64_MAX}}) {
      set_message_limit(limit);
      const int position = c->topology().position, root = size / 2;
      const std::vector<std::byte> mine(7 * position, static_cast<std::byte>(position));
      int next = 0;
      c->gather(mine, root, [&](int p, std::span<const std::byte> bytes) {
        EXPECT_EQ(p, next++);
        EXPECT_EQ(bytes.size(), 7U * p);
        for (const std::byte b : bytes) EXPECT_EQ(b, static_cast<std::byte>(p));
      });
      EXPECT_EQ(next, c->rank() == root ? size : 0);
      // What is thrown at the first message is thrown everywhere when all are through.
      int visits = 0;
      EXPECT_THROW(c->together([&] {
        c->gather(mine, root, [&](int, std::span<const std::byte>) {
          ++visits;
          throw UserError("the disk is full");
        });
      }),
                   UserError);
      EXPECT_EQ(visits, c->rank() == root ? 1 : 0);
      set_message_limit(INT64_MAX);
    }
  }
}

TEST(Links, are_the_same_on_all_ranks_and_plausible_between_nodes) {
  const int size = make_communicator({})->size();
  for (const std::string& nodes :
       {std::string(), each_own_parity(size), test::node_list(size, [](int r) { return r; }),
        test::node_list(size, [](int r) { return r / 2; })}) {
    const auto c = make_communicator({30, nodes});
    const double start = seconds_now();
    Links links = measure_links(*c);
    const double seconds = seconds_now() - start;
    const Links mine = links;
    broadcast_value(*c, links);
    EXPECT_EQ(mine, links);
    if (c->topology().nodes() == 1) {
      EXPECT_EQ(links, Links{});
      continue;
    }
    // Shared memory of one machine, on cores that may be busy.
    EXPECT_GT(links.latency, 5e-8);
    EXPECT_LT(links.latency, 0.5);
    EXPECT_GT(links.bandwidth, 1e5);
    EXPECT_LT(links.bandwidth, 1e12 * size);
    EXPECT_LT(seconds, 10);
  }
}

TEST(Communicator, is_a_mesh_of_one_axis) {
  const auto c = make_communicator({});
  EXPECT_EQ(c->mesh().extent("data"), c->size());
  EXPECT_EQ(c->mesh().coordinate(c->topology().position, "data"), c->topology().position);
  EXPECT_EQ(c->mesh().axes().size(), 1u);
}

TEST(Communicator, broadcasts_more_than_one_message_holds) {
  const auto c = make_communicator({});
  for (const int count : {0, 1, 7, 31, 32, 33, 1000, 1023, 100003}) {
    set_message_limit(1000);
    std::vector<std::byte> bytes(count);
    const int root = c->size() - 1;
    for (int i = 0; i < count && c->rank() == root; ++i) bytes[i] = static_cast<std::byte>(i * 7);
    c->broadcast(bytes, root);
    for (int i = 0; i < count; ++i) ASSERT_EQ(bytes[i], static_cast<std::byte>(i * 7));
    set_message_limit(INT64_MAX);
  }
  EXPECT_EQ(broadcast_text(*c, c->rank() == 0 ? "said once" : "", 0), "said once");
}

TEST(Communicator, finds_minimum_and_maximum) {
  const auto c = make_communicator({});
  EXPECT_EQ(c->min(10 - c->rank()), 11 - c->size());
  EXPECT_EQ(c->max(-c->rank()), 0);
  c->barrier();
}

TEST(Together, throws_the_error_of_the_lowest_position_on_all_ranks) {
  const auto c = make_communicator({});
  const int last = c->size() - 1;
  const auto refuse = [&] {
    if (c->rank() == last) throw DataError("row {} is broken on rank {}", 7, c->rank());
  };
  try {
    c->together(refuse);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_EQ(error.what(), fmt::format("row 7 is broken on rank {}", last));
    EXPECT_EQ(error.code(), ExitCode::kData);
  }
  EXPECT_THROW(c->together([&] { throw UserError("all of us, {}", c->rank()); }), UserError);
  EXPECT_NO_THROW(c->together([] {}));
}

TEST(SharedWindow, is_seen_by_all_ranks_of_the_node_at_aligned_addresses) {
  const auto c = make_communicator({});
  const Topology& topology = c->topology();
  const auto window = c->make_window(1000 + 5000 * topology.local(), "a test");
  auto* const mine = reinterpret_cast<int*>(window->part(topology.local()));
  EXPECT_EQ(mine[249], 0);
  mine[249] = 100 + topology.local();
  c->barrier();
  for (int l = 0; l < topology.local_ranks(); ++l) {
    EXPECT_EQ(window->bytes(l), 1000u + 5000u * l);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(window->part(l)) % 64, 0u);
    EXPECT_EQ(reinterpret_cast<const int*>(window->part(l))[249], 100 + l);
  }
  c->barrier();
}

std::set<std::string> mapped_windows() {  // inodes of this process's windows
  std::set<std::string> inodes;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    // Without a name, or with one where ranks do not see each other in /proc.
    if (line.find("/dev/shm/#") == std::string::npos &&
        line.find("/dev/shm/lockstep.") == std::string::npos) {
      continue;
    }
    EXPECT_NE(line.find("(deleted)"), std::string::npos) << "left behind: " << line;
    std::istringstream words(line);
    std::string range, mode, offset, device, inode;
    words >> range >> mode >> offset >> device >> inode;
    inodes.insert(inode);
  }
  return inodes;
}

TEST(SharedWindow, leaves_no_name_and_is_never_shared_between_pretended_nodes) {
  const int size = make_communicator({})->size();
  const auto before = mapped_windows();
  const auto c = make_communicator({30, each_own_parity(size)});
  const auto window = c->make_window(4096, "a test");
  std::string mine;
  for (const std::string& inode : mapped_windows()) {
    if (!before.contains(inode)) mine += inode + " ";
  }
  EXPECT_EQ(mine.empty(), c->topology().local_ranks() == 1);
  mine.resize(200, ' ');
  const auto all = c->gather_all(std::as_bytes(std::span(mine)));
  for (int p = 0; p < size; ++p) {
    const std::string theirs(reinterpret_cast<const char*>(all.data()) + 200 * p, 200);
    std::istringstream words(theirs);
    for (std::string inode; words >> inode;) {
      EXPECT_EQ(mine.find(inode) != std::string::npos,
                c->topology().node_of[p] == c->topology().node());
    }
  }
}

TEST(SharedWindow, too_large_for_dev_shm_is_refused_on_all_ranks_with_sizes_and_remedy) {
  const auto c = make_communicator({});
  if (c->size() == 1) return;  // one rank uses private memory
  try {
    c->make_window(std::size_t{1} << 46, "the gradient windows");
    FAIL();
  } catch (const UserError& error) {
    const std::string said = error.what();
    for (const char* part : {"/dev/shm", "the gradient windows", "free", "--shm-size"}) {
      EXPECT_NE(said.find(part), std::string::npos) << said;
    }
  }
}

TEST(PretendedNodes, of_another_number_of_ranks_are_refused) {
  const int size = make_communicator({})->size();
  EXPECT_THROW(make_communicator({30, each_own_parity(size + 1)}), UserError);
}

}  // namespace
}  // namespace lockstep::comm
