// How batch norm sees [rows, channels] as [virtual rows, period] with period a multiple of 16: 16 /
// gcd(channels, 16) rows side by side. So no vector of the body is cut, whatever the channel count;
// the rows that do not fill a virtual row are the rest.
#pragma once
#include <cstdint>
#include <numeric>

namespace lockstep::ops {

struct BatchNormLayout {
  std::int64_t rows, channels;
  std::int64_t fold = 16 / std::gcd(channels, std::int64_t{16});  // rows in a virtual row
  std::int64_t period = fold * channels;
  std::int64_t virtual_rows = rows / fold;
  std::int64_t rest_rows = rows % fold;
};

}  // namespace lockstep::ops
