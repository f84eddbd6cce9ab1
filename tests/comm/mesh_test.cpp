#include "lockstep/comm/mesh.h"

#include <gtest/gtest.h>

#include <set>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/error.h"

namespace lockstep::comm {
namespace {

// By hand: two replicas of three stages of two ranks each.
TEST(Mesh, lays_positions_out_last_axis_first) {
  const Mesh mesh({{"data", 2}, {"pipeline", 3}, {"tensor", 2}});
  EXPECT_EQ(mesh.positions(), 12);
  EXPECT_EQ(mesh.text(), "data 2 x pipeline 3 x tensor 2");
  EXPECT_EQ(mesh.coordinates(0), (std::vector<int>{0, 0, 0}));
  EXPECT_EQ(mesh.coordinates(1), (std::vector<int>{0, 0, 1}));
  EXPECT_EQ(mesh.coordinates(2), (std::vector<int>{0, 1, 0}));
  EXPECT_EQ(mesh.coordinates(5), (std::vector<int>{0, 2, 1}));
  EXPECT_EQ(mesh.coordinates(6), (std::vector<int>{1, 0, 0}));
  EXPECT_EQ(mesh.coordinates(11), (std::vector<int>{1, 2, 1}));
  EXPECT_EQ(mesh.group(7, "tensor"), (std::vector<int>{6, 7}));
  EXPECT_EQ(mesh.group(7, "pipeline"), (std::vector<int>{7, 9, 11}));
  EXPECT_EQ(mesh.group(7, "data"), (std::vector<int>{1, 7}));
}

// Against loops over the coordinates, which count positions in the order that the mesh promises.
TEST(Mesh, goes_from_positions_to_coordinates_and_back) {
  for (const std::vector<int>& sizes :
       {std::vector<int>{1, 1, 1}, {7, 1, 1}, {1, 5, 1}, {1, 1, 3}, {4, 3, 2}, {2, 1, 8}}) {
    const Mesh mesh({{"data", sizes[0]}, {"sequence", sizes[1]}, {"tensor", sizes[2]}});
    int position = 0;
    for (int d = 0; d < sizes[0]; ++d) {
      for (int s = 0; s < sizes[1]; ++s) {
        for (int t = 0; t < sizes[2]; ++t, ++position) {
          ASSERT_EQ(mesh.position({d, s, t}), position);
          ASSERT_EQ(mesh.coordinates(position), (std::vector<int>{d, s, t}));
          ASSERT_EQ(mesh.coordinate(position, "sequence"), s);
        }
      }
    }
    ASSERT_EQ(mesh.positions(), position);
  }
}

TEST(Mesh, cuts_all_positions_into_groups_along_an_axis) {
  const Mesh mesh({{"data", 3}, {"pipeline", 2}, {"tensor", 4}});
  for (const MeshAxis& axis : mesh.axes()) {
    std::set<std::vector<int>> groups;
    for (int p = 0; p < mesh.positions(); ++p) {
      const std::vector<int> group = mesh.group(p, axis.name);
      ASSERT_EQ(static_cast<int>(group.size()), axis.size);
      ASSERT_EQ(group[mesh.coordinate(p, axis.name)], p);
      groups.insert(group);
    }
    EXPECT_EQ(static_cast<int>(groups.size()) * axis.size, mesh.positions());
  }
}

TEST(Mesh, takes_an_axis_that_is_not_there_as_one_of_a_single_rank) {
  const Mesh mesh({{"data", 4}});
  EXPECT_EQ(mesh.extent("tensor"), 1);
  EXPECT_EQ(mesh.coordinate(3, "tensor"), 0);
  EXPECT_EQ(mesh.group(3, "tensor"), (std::vector<int>{3}));
  EXPECT_EQ(Mesh().text(), "data 1");
}

TEST(Mesh, refuses_what_is_none) {
  EXPECT_THROW(Mesh(std::vector<MeshAxis>{}), Error);
  EXPECT_THROW(Mesh({{"data", 0}}), Error);
  EXPECT_THROW(Mesh({{"", 2}}), Error);
  EXPECT_THROW(Mesh({{"data", 2}, {"data", 2}}), Error);
  const Mesh mesh({{"data", 2}, {"tensor", 2}});
  EXPECT_THROW(mesh.coordinate(4, "data"), Error);
  EXPECT_THROW(mesh.position({0, 2}), Error);
  EXPECT_THROW(mesh.position({1}), Error);
}

TEST(Mesh, of_a_run_of_one_process_has_one_position) {
  EXPECT_EQ(make_self_communicator()->mesh(), Mesh({{"data", 1}}));
}

}  // namespace
}  // namespace lockstep::comm
