// One PNG file as rows of pixels (libpng). Knows no folders and no classes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/core/shape.h"

namespace lockstep::data {

struct PngForm {
  std::int64_t height = 0, width = 0;
  int channels = 1;  // 1: grey, 3: red, green and blue
  int bits = 8;      // of a channel, 8 or 16
  bool operator==(const PngForm&) const = default;
  Shape sample() const;      // [H, W] or [H, W, 3]
  std::string text() const;  // "28x28 grey of 8 bits"
};

void require_png();  // throws UserError in a build without libpng

// Grey of 1, 2 and 4 bits becomes 8 bits, a palette becomes colours, 16 bits come in this machine's
// order. Throws DataError naming the file if it is damaged, or has transparent pixels that are not
// dropped.
PngForm read_png(const std::string& path, bool drop_alpha, std::vector<std::byte>& pixels);

}  // namespace lockstep::data
