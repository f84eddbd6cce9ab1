// Matrix products and the moves of 8x8 tiles between shared memory and a warp's registers, in the
// fragment layouts of the PTX manual; and wmma, whose layout is open and chosen here.
#pragma once
#include "tests/ptx/instructions/memory.h"

namespace lockstep::ptx {

enum class Factor { kBf16, kF16, kTf32 };

// One lane's registers of mma.sync row.col: d = a b + c with float accumulators. d holds c before.
// The sum over k is kept in double and rounded once: a GPU's last bits differ.
struct MmaOperand {
  std::uint32_t a[4], b[2];
  float d[4];
};
// Shapes m16n8k8 and k16 of 16-bit factors, k4 and k8 of tf32.
template <int kDepth, Factor kFactor>
void mma(Thread& self, MmaOperand& operand, const char* at);

// Eight row addresses a tile, of lanes 0-7, 8-15, ...: each lane gets the 8 kTiles of them.
void tile_rows(Thread& self, std::uint64_t address, std::uint64_t* rows, const char* at);

// Elements 2i and 2i+1 of row lane/4 of each tile, i = lane % 4; transposed: of column lane/4.
template <int kTiles, bool kTransposed>
inline std::array<std::uint32_t, kTiles> load_tiles(Thread& self, const SharedMemory& shared,
                                                    std::uint64_t offset, const char* at) {
  if (self.warp_lane < 8 * kTiles) {
    offset = shared_address(self, shared, offset, 16, at);
    check_address(self, offset, 16, at);
  }
  std::uint64_t rows[32];
  tile_rows(self, offset, rows, at);
  const unsigned major = self.warp_lane / 4, minor = 2 * (self.warp_lane % 4);
  std::array<std::uint32_t, kTiles> tiles;
  for (int tile = 0; tile < kTiles; ++tile) {
    std::uint32_t pair[2];
    for (unsigned i = 0; i < 2; ++i) {
      const unsigned row = kTransposed ? minor + i : major,
                     column = kTransposed ? major : minor + i;
      pair[i] = load_private<std::uint16_t>(rows[8 * tile + row] + 2 * column);
    }
    tiles[tile] = pair[0] | pair[1] << 16;
  }
  return tiles;
}
template <int kTiles, bool kTransposed>
inline void store_tiles(Thread& self, const SharedMemory& shared, std::uint64_t offset,
                        const std::array<std::uint32_t, kTiles>& tiles, const char* at) {
  if (self.warp_lane < 8 * kTiles) {
    offset = shared_address(self, shared, offset, 16, at);
    check_address(self, offset, 16, at);
  }
  std::uint64_t rows[32];
  tile_rows(self, offset, rows, at);
  const unsigned major = self.warp_lane / 4, minor = 2 * (self.warp_lane % 4);
  for (int tile = 0; tile < kTiles; ++tile)
    for (unsigned i = 0; i < 2; ++i) {
      const unsigned row = kTransposed ? minor + i : major,
                     column = kTransposed ? major : minor + i;
      const auto element = static_cast<std::uint16_t>(tiles[tile] >> 16 * i);
      std::memcpy(reinterpret_cast<void*>(rows[8 * tile + row] + 2 * column), &element, 2);
    }
}
// movmatrix: a tile transposed between registers.
std::uint32_t transposed_tile(Thread& self, std::uint32_t tile, const char* at);

// wmma: lane l holds elements l n to l n + n - 1 of the row-major matrix, n = kRows kColumns / 32.
template <class T, int kRows, int kColumns>
inline void wmma_load(Thread& self, T* fragment, std::uint64_t address, unsigned stride,
                      bool row_major, const char* at) {
  constexpr unsigned kCount = kRows * kColumns / 32;
  for (unsigned i = 0; i < kCount; ++i) {
    const unsigned e = self.warp_lane * kCount + i, row = e / kColumns, column = e % kColumns;
    const std::uint64_t place =
        row_major ? std::uint64_t{row} * stride + column : std::uint64_t{column} * stride + row;
    fragment[i] = load<T>(self, address + sizeof(T) * place, at);
  }
}
template <class T, int kRows, int kColumns>
inline void wmma_store(Thread& self, const T* fragment, std::uint64_t address, unsigned stride,
                       bool row_major, const char* at) {
  constexpr unsigned kCount = kRows * kColumns / 32;
  for (unsigned i = 0; i < kCount; ++i) {
    const unsigned e = self.warp_lane * kCount + i, row = e / kColumns, column = e % kColumns;
    const std::uint64_t place =
        row_major ? std::uint64_t{row} * stride + column : std::uint64_t{column} * stride + row;
    store<T>(self, address + sizeof(T) * place, fragment[i], at);
  }
  warp_barrier(self, ~0u, at);
}
struct WmmaOperand {
  const std::uint16_t* a;  // kRows kDepth / 32 elements of this lane
  const std::uint16_t* b;  // kDepth kColumns / 32
  float* d;                // kRows kColumns / 32; c before
};
template <int kRows, int kColumns, int kDepth, Factor kFactor>
void wmma(Thread& self, WmmaOperand& operand, const char* at);

}  // namespace lockstep::ptx
