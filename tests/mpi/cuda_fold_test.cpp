// The fold on cuda devices under mpirun: bit for bit the one tree of the CPU, on every path. With
// LOCKSTEP_EMULATION_IPC=0 devices do not reach each other's memory.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string_view>

#include "lockstep/comm/fold.h"
#include "lockstep/device/cuda.h"
#include "lockstep/ops/tree_arithmetic.h"
#include "lockstep/ops/vector.h"
#include "support/device_fold_driver.h"
#include "support/fold_driver.h"
#include "support/node_list.h"

namespace lockstep::comm {
namespace {

const std::vector<std::int64_t> kSizes{1, 7, 300, 31, 4097, 33, 1000, 129};

bool no_peers() {
  const char* const ipc = std::getenv("LOCKSTEP_EMULATION_IPC");
  return ipc != nullptr && std::string_view(ipc) == "0";
}
int ranks() { return make_communicator({})->size(); }

struct Setting {
  std::int64_t lanes = 8;
  int streams = 1;
  std::string nodes;
  test::DriveOptions drive;
  LeafType leaf = LeafType::kFp32;
};

std::string expect_reference_bits(Device& device, const Setting& s, int steps = 3) {
  SCOPED_TRACE(fmt::format("{} lanes, {} streams, nodes '{}', captured {}, threads {}", s.lanes,
                           s.streams, s.nodes, s.drive.captured, s.drive.threads));
  const auto communicator = make_communicator({60, s.nodes});
  const auto arithmetic = ops::make_tree_arithmetic(device);
  FoldLayout layout = test::make_layout(kSizes, 1500, s.lanes, s.streams);
  layout.leaf = s.leaf;
  ::testing::internal::CaptureStderr();
  const auto fold =
      make_fold(*communicator, layout, {&ops::add, &ops::sum_of_squares, &ops::round_to_bf16},
                ReduceKind::kFold, {&device, arithmetic.get()});
  ::testing::internal::GetCapturedStderr();
  std::string difference;
  {
    test::DeviceFoldDriver driver(*fold, layout, device, s.drive);
    for (int step = 0; step < steps; ++step) {
      driver.run_step(step);
      if (step > 0 && difference.empty()) difference = driver.check(step - 1);
      driver.read(step);
    }
    if (difference.empty()) difference = driver.check(steps - 1);
  }
  EXPECT_EQ(communicator->max(difference.empty() ? 0 : 1), 0) << difference;
  return fold->path();
}

class CudaFold : public ::testing::Test {
 protected:
  CudaFold() {
    const auto communicator = make_communicator({});
    const Topology& topology = communicator->topology();
    device_ = make_cuda_device({.device = "cuda",
                                .local_rank = topology.local(),
                                .local_ranks = topology.local_ranks(),
                                .who = fmt::format("rank {}", communicator->rank())});
  }
  std::unique_ptr<Device> device_;
};

TEST_F(CudaFold, equals_the_one_tree_for_any_number_of_lanes) {
  for (std::int64_t lanes = ranks(); lanes <= 16; ++lanes) {
    const int streams = 1 + static_cast<int>(lanes % 3);
    const std::string path = expect_reference_bits(*device_, {.lanes = lanes, .streams = streams});
    if (ranks() == 1) {
      EXPECT_EQ(path, "one rank");
    } else if (no_peers()) {
      EXPECT_TRUE(path.starts_with("pinned staging (")) << path;
    } else {
      EXPECT_EQ(path, "peers by CUDA IPC");
    }
  }
}

TEST_F(CudaFold, takes_graphs_and_threads) {
  for (const bool captured : {false, true}) {
    for (const bool threads : {false, true})
      expect_reference_bits(*device_, {.streams = 2, .drive = {captured, threads}}, 5);
  }
}

TEST_F(CudaFold, stages_between_nodes) {
  if (ranks() == 1) return;
  for (const int nodes : {2, 3}) {
    for (const std::int64_t lanes : {7, 8}) {
      const std::string list = test::node_list(ranks(), [=](int rank) { return rank % nodes; });
      const std::string path =
          expect_reference_bits(*device_, {.lanes = lanes, .streams = 2, .nodes = list});
      EXPECT_NE(path.find("pinned staging"), std::string::npos) << path;
    }
  }
}

TEST_F(CudaFold, adds_leaves_rounded_to_bf16) {
  for (const std::int64_t lanes : {4, 5, 7}) {
    const std::string list = test::node_list(ranks(), [](int rank) { return rank % 2; });
    for (const std::string& nodes : {std::string(), list})
      expect_reference_bits(*device_, {.lanes = lanes, .nodes = nodes, .leaf = LeafType::kBf16}, 2);
  }
}

}  // namespace
}  // namespace lockstep::comm
