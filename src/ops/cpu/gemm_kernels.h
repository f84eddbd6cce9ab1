// The loops under Gemm, one table per instruction set and precision, filled from gemm_loops.inl:
// how factors are packed and how one cache block of C += A B is multiplied. Knows no layer.
//
// A word is what one lane holds of a factor: an fp32 number, or two bf16 numbers that follow each
// other in the inner dimension, the first in the low half.
#pragma once
#include <cstddef>
#include <cstdint>

#include "ops/cpu/kernels.h"

namespace lockstep::ops {

// GemmEpilogue with what its loops need. Plain data: shared by files of different flags.
struct TileEnd {
  const float* bias;      // [columns]
  float* before;          // as C
  const float* residual;  // as C
  int activation;         // of enum Activation
  bool drop;
  DropoutStream stream;        // of element 0
  std::int64_t first_element;  // the number of C's first element
};

// C [rows, columns] at c, of which this is the part from (row, column) on, = or += A B.
struct GemmBlock {
  std::int64_t row, column, rows, columns, depth;  // depth in words
  const float* a;  // word (m, k) of strip s: a[s * a_strip + m * a_row + k * a_depth]
  std::int64_t a_strip, a_row, a_depth;
  // Word (k, n) of panel p: b[p * b_panel + (b_first + k) * width + n], its width rounded up to 16.
  const float* b;
  std::int64_t b_panel, b_first;
  const float* next_b;  // what follows in B after the last panel, to be fetched ahead; null: none
  float* c;
  std::int64_t c_row;  // distance between rows
  bool add;
  const TileEnd* end;  // null: none
};

struct GemmKernels {
  const char* name;
  int strip, panel;  // rows and columns of a tile
  int numbers;       // in a word
  // Panels of words of B from W^T, W [columns, depth] with w_row between its rows: b(k, n) =
  // w[n * w_row + k]. Panel p starts at p * panel * panel_words. depth in numbers.
  void (*pack_transposed)(float* panels, std::int64_t panel_words, const float* w,
                          std::int64_t w_row, std::int64_t columns, std::int64_t depth);
  // The same of b(k, n) = b[k * b_row + n].
  void (*pack_panels)(float* panels, std::int64_t panel_words, const float* b, std::int64_t b_row,
                      std::int64_t columns, std::int64_t depth);
  // Rows of words: a(m, k) = a[m * a_row + k] to words[m * words_row + ...].
  void (*pack_rows)(float* words, std::int64_t words_row, const float* a, std::int64_t a_row,
                    std::int64_t rows, std::int64_t depth);
  // Strips of words [k][strip] of a(m, k) = a[k * a_row + m].
  void (*pack_strips)(float* strips, const float* a, std::int64_t a_row, std::int64_t rows,
                      std::int64_t depth);
  void (*multiply)(const GemmBlock& block);
};

}  // namespace lockstep::ops
