#include "tests/ptx/instructions/matrix.h"

#include "tests/ptx/instructions/numbers.h"

namespace lockstep::ptx {

namespace {

constexpr int kWarp = 32;

template <Factor kFactor>
inline float factor(std::uint32_t word) {
  if constexpr (kFactor == Factor::kBf16) return as<float>(word << 16);
  if constexpr (kFactor == Factor::kF16)
    return static_cast<float>(as<_Float16>(static_cast<std::uint16_t>(word)));
  return as<float>(word & 0xFFFFE000u);
}

// d[m][n] += sum over k of a[m][k] b[k][n]
template <int kRows, int kColumns, int kDepth>
[[gnu::always_inline]] inline void product(const float (&a)[kRows][kDepth],
                                           const float (&b)[kDepth][kColumns],
                                           float (&d)[kRows][kColumns]) {
  for (int m = 0; m < kRows; ++m) {
    double sum[kColumns] = {};
    for (int k = 0; k < kDepth; ++k)
      for (int n = 0; n < kColumns; ++n) sum[n] += double(a[m][k]) * double(b[k][n]);
    for (int n = 0; n < kColumns; ++n) d[m][n] = static_cast<float>(d[m][n] + sum[n]);
  }
}
[[gnu::target_clones("avx2", "default")]] void product_16_8_16(const float (&a)[16][16],
                                                               const float (&b)[16][8],
                                                               float (&d)[16][8]) {
  product(a, b, d);
}
template <int kRows, int kColumns, int kDepth>
void multiply(const float (&a)[kRows][kDepth], const float (&b)[kDepth][kColumns],
              float (&d)[kRows][kColumns]) {
  if constexpr (kRows == 16 && kColumns == 8 && kDepth == 16)
    product_16_8_16(a, b, d);
  else
    product(a, b, d);
}

// Register r of a holds rows group + 8 (r % 2) and the r / 2-th part of k; register r of b the r-th
// part of k for column group; group = lane / 4. A part is 4 registers' worth of k.
template <int kDepth, Factor kFactor>
void complete_mma(void* const* operands, unsigned) {
  constexpr int kPacked = kFactor == Factor::kTf32 ? 1 : 2, kPart = 4 * kPacked,
                kParts = kDepth / kPart;
  float a[16][kDepth], b[kDepth][8], d[16][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto& own = *static_cast<const MmaOperand*>(operands[lane]);
    const int group = lane / 4, member = lane % 4;
    for (int part = 0; part < kParts; ++part)
      for (int i = 0; i < kPacked; ++i) {
        const int k = part * kPart + member * kPacked + i;
        a[group][k] = factor<kFactor>(own.a[2 * part] >> 16 * i);
        a[group + 8][k] = factor<kFactor>(own.a[2 * part + 1] >> 16 * i);
        b[k][group] = factor<kFactor>(own.b[part] >> 16 * i);
      }
    for (int i = 0; i < 4; ++i) d[group + 8 * (i / 2)][2 * member + i % 2] = own.d[i];
  }
  multiply(a, b, d);
  for (int lane = 0; lane < kWarp; ++lane)
    for (int i = 0; i < 4; ++i)
      static_cast<MmaOperand*>(operands[lane])->d[i] =
          d[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2];
}

struct RowsOperand {
  std::uint64_t address;
  std::uint64_t* rows;
};

void complete_rows(void* const* operands, unsigned mask) {
  for (; mask != 0; mask &= mask - 1) {
    auto& own = *static_cast<RowsOperand*>(operands[__builtin_ctz(mask)]);
    for (int lane = 0; lane < kWarp; ++lane)
      own.rows[lane] = static_cast<const RowsOperand*>(operands[lane])->address;
  }
}

struct TileOperand {
  std::uint32_t tile, result;
};

void complete_transpose(void* const* operands, unsigned) {
  std::uint16_t elements[8][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const std::uint32_t tile = static_cast<const TileOperand*>(operands[lane])->tile;
    for (int i = 0; i < 2; ++i)
      elements[lane / 4][2 * (lane % 4) + i] = static_cast<std::uint16_t>(tile >> 16 * i);
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    const int column = lane / 4, row = 2 * (lane % 4);
    static_cast<TileOperand*>(operands[lane])->result =
        elements[row][column] | static_cast<std::uint32_t>(elements[row + 1][column]) << 16;
  }
}

template <int kRows, int kColumns, int kDepth, Factor kFactor>
void complete_wmma(void* const* operands, unsigned) {
  constexpr int kA = kRows * kDepth / kWarp, kB = kDepth * kColumns / kWarp,
                kD = kRows * kColumns / kWarp;
  float a[kRows][kDepth], b[kDepth][kColumns], d[kRows][kColumns];
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto& own = *static_cast<const WmmaOperand*>(operands[lane]);
    for (int i = 0; i < kA; ++i) (&a[0][0])[lane * kA + i] = factor<kFactor>(own.a[i]);
    for (int i = 0; i < kB; ++i) (&b[0][0])[lane * kB + i] = factor<kFactor>(own.b[i]);
    for (int i = 0; i < kD; ++i) (&d[0][0])[lane * kD + i] = own.d[i];
  }
  multiply(a, b, d);
  for (int lane = 0; lane < kWarp; ++lane)
    for (int i = 0; i < kD; ++i)
      static_cast<const WmmaOperand*>(operands[lane])->d[i] = (&d[0][0])[lane * kD + i];
}

// Matrix instructions take whole warps.
void whole_warp(const Thread& self, const char* at) {
  const dim3& extent = self.place->extent;
  if (extent.x * extent.y * extent.z % kWarp != 0)
    fail(self, at, "a matrix instruction in a block whose last warp is not whole");
}

}  // namespace

template <int kDepth, Factor kFactor>
void mma(Thread& self, MmaOperand& operand, const char* at) {
  whole_warp(self, at);
  collective(self, ~0u, &operand, complete_mma<kDepth, kFactor>, at);
}
template void mma<8, Factor::kBf16>(Thread&, MmaOperand&, const char*);
template void mma<16, Factor::kBf16>(Thread&, MmaOperand&, const char*);
template void mma<8, Factor::kF16>(Thread&, MmaOperand&, const char*);
template void mma<16, Factor::kF16>(Thread&, MmaOperand&, const char*);
template void mma<4, Factor::kTf32>(Thread&, MmaOperand&, const char*);
template void mma<8, Factor::kTf32>(Thread&, MmaOperand&, const char*);

void tile_rows(Thread& self, std::uint64_t address, std::uint64_t* rows, const char* at) {
  whole_warp(self, at);
  RowsOperand operand{address, rows};
  collective(self, ~0u, &operand, complete_rows, at);
}

std::uint32_t transposed_tile(Thread& self, std::uint32_t tile, const char* at) {
  whole_warp(self, at);
  TileOperand operand{tile, 0};
  collective(self, ~0u, &operand, complete_transpose, at);
  return operand.result;
}

template <int kRows, int kColumns, int kDepth, Factor kFactor>
void wmma(Thread& self, WmmaOperand& operand, const char* at) {
  whole_warp(self, at);
  collective(self, ~0u, &operand, complete_wmma<kRows, kColumns, kDepth, kFactor>, at);
}
#define LOCKSTEP_PTX_WMMA(m, n)                                                    \
  template void wmma<m, n, 16, Factor::kBf16>(Thread&, WmmaOperand&, const char*); \
  template void wmma<m, n, 16, Factor::kF16>(Thread&, WmmaOperand&, const char*);
LOCKSTEP_PTX_WMMA(16, 16)
LOCKSTEP_PTX_WMMA(32, 8)
LOCKSTEP_PTX_WMMA(8, 32)
#undef LOCKSTEP_PTX_WMMA

}  // namespace lockstep::ptx
