// Under mpirun: communicators of some of the ranks, MPI's own collectives, and the benchmarks that
// need ranks, on pretended nodes too.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "bench/comm_parts.h"
#include "lockstep/bench/bench.h"
#include "lockstep/comm/collectives.h"
#include "lockstep/comm/fold.h"
#include "lockstep/core/error.h"
#include "support/node_list.h"

namespace lockstep::bench {
namespace {

std::string alternating(int size) {
  return test::node_list(size, [](int rank) { return rank % 2; });
}

TEST(Part, has_the_first_positions_in_their_order_and_nodes) {
  const int size = comm::make_communicator({})->size();
  for (const std::string& nodes : {std::string(), alternating(size)}) {
    const auto all = comm::make_communicator({30, size > 1 ? nodes : ""});
    const comm::Topology& whole = all->topology();
    for (int positions = 1; positions <= size; ++positions) {
      const auto part = all->part(positions);
      ASSERT_EQ(part != nullptr, whole.position < positions);
      if (part) {
        EXPECT_EQ(part->size(), positions);
        EXPECT_EQ(part->topology().position, whole.position);
        for (int p = 0; p < positions; ++p)
          EXPECT_EQ(part->topology().node_of[p], whole.node_of[p]);
        EXPECT_EQ(part->max(whole.position), positions - 1);
        part->barrier();
        // A part of a part, and memory that its ranks share.
        EXPECT_EQ(part->part(1) != nullptr, whole.position == 0);
        const auto window = part->make_window(64, "a test");
        EXPECT_NE(window->part(part->topology().local()), nullptr);
      }
      all->barrier();
    }
  }
}

TEST(Collectives, do_what_mpi_says) {
  const auto c = comm::make_communicator({});
  const int ranks = c->size();
  const auto mpi = comm::make_collectives(*c);
  std::vector<float> from(static_cast<std::size_t>(4 * ranks)), to(from.size());
  std::iota(from.begin(), from.end(), static_cast<float>(c->rank()));
  mpi->allreduce(from, to);
  for (int i = 0; i < 4 * ranks; ++i)
    EXPECT_EQ(to[i], static_cast<float>(ranks * i + ranks * (ranks - 1) / 2));
  std::vector<float> part(4);
  mpi->reduce_scatter(from, part);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(part[i], to[4 * c->rank() + i]);
  mpi->allgather(std::span(from).first(4), to);
  for (int i = 0; i < 4 * ranks; ++i) EXPECT_EQ(to[i], static_cast<float>(i / 4 + i % 4));
  mpi->broadcast(from, ranks - 1);
  EXPECT_EQ(from[1], static_cast<float>(ranks));
}

TEST(Ways, are_right_on_nodes_that_are_one_and_on_nodes_that_are_several) {
  const int size = comm::make_communicator({})->size();
  for (const std::string& nodes : {std::string(), alternating(size)}) {
    const auto c = comm::make_communicator({30, size > 1 ? nodes : ""});
    for (const Collective kind : {Collective::kAllreduce, Collective::kReduceScatter,
                                  Collective::kAllgather, Collective::kBroadcast}) {
      for (const std::int64_t bytes : {8, 4 * 4097, 5 << 20}) {
        for (const Way& way : ways_of(*c, kind, bytes)) {
          EXPECT_EQ(way.check(), "") << way.name << " " << bytes;
          way.run();
          EXPECT_EQ(way.check(), "") << way.name << " " << bytes;
        }
      }
    }
  }
}

TEST(BenchComm, measures_every_level_and_compares_ways) {
  const int size = comm::make_communicator({})->size();
  Request request;
  request.seconds = 1e-4;
  request.only = {"latency 8 B", "bandwidth 32", "bidirectional 128", "allreduce 8.00"};
  if (size == 1) {
    const auto self = comm::make_communicator({});
    EXPECT_THROW(bench_comm(*self, request), UserError);
    return;
  }
  const auto c = comm::make_communicator({30, alternating(size)});
  const Results results = bench_comm(*c, request);
  EXPECT_TRUE(results.all_verified()) << results.text();
  const auto has = [&](const std::string& group, const std::string& name) {
    return std::ranges::any_of(results.rows, [&](const Row& row) {
      return row.group == group && row.name == name && row.time.median > 0;
    });
  };
  EXPECT_TRUE(has("latency", "8 B, network")) << results.text();
  EXPECT_EQ(has("latency", "8 B, node"), size > 2);
  EXPECT_TRUE(has("allreduce", "8.00 KiB fold")) << results.text();
  EXPECT_TRUE(has("allreduce", "8.00 KiB MPI_Iallreduce"));
  for (const Row& row : results.rows) {
    if (row.group == "latency")
      EXPECT_DOUBLE_EQ(row.figures[0].value, row.time.median / 2);
    if (row.group == "allreduce")
      EXPECT_DOUBLE_EQ(row.figures[1].value,
                       row.figures[0].value * 2 * (size - 1) / static_cast<double>(size));
  }
  // Every rank has the same results.
  const std::string mine = results.json();
  EXPECT_EQ(comm::broadcast_text(*c, mine), mine);
}

}  // namespace
}  // namespace lockstep::bench
