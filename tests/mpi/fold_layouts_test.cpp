// The fold over random layouts, lanes, streams and placements: always the bits of the one tree.
#include <gtest/gtest.h>

#include <random>

#include "comm/mpi_call.h"
#include "lockstep/comm/fold.h"
#include "support/fold_driver.h"
#include "support/node_list.h"

namespace lockstep::comm {
namespace {

TEST(FoldLayouts, all_give_the_bits_of_the_one_tree) {
  const int size = make_communicator({})->size();
  std::mt19937 random(20 + size);  // the same on all ranks
  for (int round = 0; round < 12; ++round) {
    std::vector<std::int64_t> sizes(1 + random() % 8);
    for (std::int64_t& s : sizes) s = 1 + random() % (random() % 3 ? 300 : 13000);
    const std::int64_t lanes = size + random() % 17;
    const std::string nodes =
        test::node_list(size, [&](int) { return static_cast<int>(random() % 3); });
    const CommOptions options{30, round % 3 == 0 ? "" : nodes};
    set_message_limit(round % 2 ? 777 : INT64_MAX);
    const FoldLayout layout =
        test::make_layout(sizes, 1 + random() % 9000, lanes, 1 + static_cast<int>(random() % 3));
    SCOPED_TRACE(fmt::format("nodes {}, {} lanes, {} streams", options.pretend_nodes, lanes,
                             layout.streams));
    const auto communicator = make_communicator(options);
    const auto fold = make_fold(*communicator, layout, test::plain_arithmetic(), ReduceKind::kFold);
    for (int step = 0; step < 3; ++step) {
      test::run_step(*fold, layout, step, (step + communicator->rank()) % 2 == 1);
      const std::string difference = test::check_step(*fold, layout, step);
      fold->release();
      ASSERT_EQ(communicator->max(difference.empty() ? 0 : 1), 0) << difference;
    }
    set_message_limit(INT64_MAX);
  }
}

}  // namespace
}  // namespace lockstep::comm
