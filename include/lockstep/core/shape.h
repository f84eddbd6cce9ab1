// A tensor's extents, outermost first. Activations are channels-last: [N, spatial..., C].
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace lockstep {

class Shape {
 public:
  static constexpr int kMaxRank = 8;
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents) : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const std::int64_t> extents);

  int rank() const { return rank_; }
  std::int64_t operator[](int i) const { return extents_[i < 0 ? i + rank_ : i]; }  // -1: last
  std::int64_t& operator[](int i) { return extents_[i < 0 ? i + rank_ : i]; }
  std::int64_t elements() const;  // 1 for rank 0
  const std::int64_t* begin() const { return extents_.data(); }
  const std::int64_t* end() const { return extents_.data() + rank_; }
  Shape prepend(std::int64_t extent) const;
  Shape append(std::int64_t extent) const;
  Shape drop_first() const;
  bool operator==(const Shape& other) const;
  std::string text() const;  // "28x28x1"; "scalar" for rank 0

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace lockstep
