// The mesh of ranks: positions as coordinates on named axes. Today's runs have one axis, "data",
// along which lanes and shards are dealt. Knows sizes and names, never what travels along an axis.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::comm {

inline constexpr const char* kDataAxis = "data";

struct MeshAxis {
  std::string name;
  int size = 1;
  bool operator==(const MeshAxis&) const = default;
};

// Positions run through the last axis first, as elements of a row-major array do. Positions of a
// node are consecutive, so axes are listed by how little they say to each other: "data" first, and
// last the axis whose ranks exchange most (of a layer cut over ranks: several times a layer), which
// then stay on one node wherever its size divides the node's ranks.
class Mesh {
 public:
  Mesh() : Mesh({{kDataAxis, 1}}) {}
  // Throws Error(kBug) for no axis, an empty or repeated name, or a size below 1.
  explicit Mesh(std::vector<MeshAxis> axes);

  const std::vector<MeshAxis>& axes() const { return axes_; }
  int positions() const;
  // How many ranks an axis has; 1 for an axis that is not there.
  int extent(std::string_view axis) const;
  // Where a position lies along an axis; 0 for an axis that is not there.
  int coordinate(int position, std::string_view axis) const;
  std::vector<int> coordinates(int position) const;  // by axis
  int position(const std::vector<int>& coordinates) const;
  // The positions that differ from this one along the axis alone, itself included, in order.
  std::vector<int> group(int position, std::string_view axis) const;
  std::string text() const;  // "data 4", "data 2 x tensor 4"

  bool operator==(const Mesh&) const = default;

 private:
  struct Step {
    int size = 1, stride = 1;  // positions from one coordinate to the next
  };
  Step along(std::string_view axis) const;

  std::vector<MeshAxis> axes_;
};

}  // namespace lockstep::comm
