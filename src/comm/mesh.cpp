#include "lockstep/comm/mesh.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep::comm {

Mesh::Mesh(std::vector<MeshAxis> axes) : axes_(std::move(axes)) {
  LOCKSTEP_CHECK(!axes_.empty(), "a mesh needs an axis");
  for (auto axis = axes_.begin(); axis != axes_.end(); ++axis) {
    LOCKSTEP_CHECK(!axis->name.empty() && axis->size >= 1, "axis '{}' of a mesh has size {}",
                   axis->name, axis->size);
    LOCKSTEP_CHECK(std::find_if(axes_.begin(), axis,
                                [&](const MeshAxis& a) { return a.name == axis->name; }) == axis,
                   "a mesh has two axes '{}'", axis->name);
  }
}

int Mesh::positions() const {
  int all = 1;
  for (const MeshAxis& axis : axes_) all *= axis.size;
  return all;
}

Mesh::Step Mesh::along(std::string_view axis) const {
  int stride = 1;
  for (auto a = axes_.rbegin(); a != axes_.rend(); ++a) {
    if (a->name == axis) return {a->size, stride};
    stride *= a->size;
  }
  return {};
}

int Mesh::extent(std::string_view axis) const { return along(axis).size; }

int Mesh::coordinate(int position, std::string_view axis) const {
  LOCKSTEP_CHECK(0 <= position && position < positions(), "position {} is not on the mesh {}",
                 position, text());
  const Step step = along(axis);
  return position / step.stride % step.size;
}

std::vector<int> Mesh::coordinates(int position) const {
  std::vector<int> all;
  for (const MeshAxis& axis : axes_) all.push_back(coordinate(position, axis.name));
  return all;
}

int Mesh::position(const std::vector<int>& coordinates) const {
  LOCKSTEP_CHECK(coordinates.size() == axes_.size(), "{} coordinates on the mesh {}",
                 coordinates.size(), text());
  int position = 0;
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    LOCKSTEP_CHECK(0 <= coordinates[i] && coordinates[i] < axes_[i].size,
                   "coordinate {} along '{}' is not on the mesh {}", coordinates[i], axes_[i].name,
                   text());
    position = position * axes_[i].size + coordinates[i];
  }
  return position;
}

std::vector<int> Mesh::group(int position, std::string_view axis) const {
  const Step step = along(axis);
  const int first = position - coordinate(position, axis) * step.stride;
  std::vector<int> positions;
  for (int i = 0; i < step.size; ++i) positions.push_back(first + i * step.stride);
  return positions;
}

std::string Mesh::text() const {
  std::string text;
  for (const MeshAxis& axis : axes_)
    text += fmt::format("{}{} {}", text.empty() ? "" : " x ", axis.name, axis.size);
  return text;
}

}  // namespace lockstep::comm
