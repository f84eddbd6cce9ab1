// The arithmetic of a fold on a device, handed to whoever folds by whoever knows kernels. Knows
// neither lanes nor ranks: only values, the order in which they are added, and a stream.
#pragma once
#include <cstdint>
#include <span>

#include "lockstep/device/device.h"

namespace lockstep {

struct TreeBlock {
  std::int64_t begin = 0, elements = 0;  // begin: a multiple of 4
};

// A tree in the form of a stack, element by element: source i is pushed, then merges[i] times the
// two topmost values give way to their sum. What is left goes to the outs, the lowest first.
struct Tree {
  std::span<const float* const> sources;  // at [e] element e; on 16-byte boundaries
  std::span<const std::uint8_t> merges;   // one a source
  std::span<float* const> outs;           // likewise; an out may be one of the sources
};

inline constexpr int kTreeSources = 224, kTreeOuts = 48;

class TreeArithmetic {
 public:
  virtual ~TreeArithmetic() = default;
  // Gives the tree over `count` blocks to the stream. Sources may lie in peers' memory; each is
  // read once. values: null, or on the device the sum of squares in double of each block of the
  // first out, value i for blocks[i]: the bits of ops::sum_of_squares. blocks lies on the device;
  // the spans of `tree` are needed during the call only.
  virtual void fold(const Tree& tree, const TreeBlock* blocks, int count, double* values,
                    Stream& stream) = 0;
  // dst = x rounded to bf16, to nearest even, and back: the bits of ops::round_to_bf16. dst may be
  // x. Pointers on 16-byte boundaries here and below.
  virtual void round_to_bf16(float* dst, const float* x, std::int64_t n, Stream& stream) = 0;
  // Numbers that are bf16 already, 2 bytes each.
  virtual void pack_bf16(std::uint16_t* dst, const float* x, std::int64_t n, Stream& stream) = 0;
};

}  // namespace lockstep
