// Packing of the factors of a product into words: see gemm_kernels.h.
#include "ops/cpu/gemm_words.h"
#include "ops/cpu/transpose_tile.h"

namespace lockstep::ops {
namespace {

LOCKSTEP_INLINE std::int64_t at_most(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
LOCKSTEP_INLINE std::int64_t up_to_vector(std::int64_t n) {
  return (n + kWidth - 1) / kWidth * kWidth;
}

template <class Words, int panel>
void pack_transposed(float* panels, std::int64_t panel_words, const float* w, std::int64_t w_row,
                     std::int64_t columns, std::int64_t depth) {
  constexpr std::int64_t kNumbers = kWidth * Words::kNumbers;  // of a vector of words
  for (std::int64_t first = 0; first < columns; first += panel, panels += panel * panel_words) {
    const std::int64_t width = at_most(panel, up_to_vector(columns - first));
    for (std::int64_t j = 0; j < width; j += kWidth) {
      const std::int64_t rows = at_most(kWidth, columns - first - j);
      const float* const from = w + (first + j) * w_row;
      float* to = panels + j;
      for (std::int64_t k = 0; k < depth; k += kNumbers) {
        V t[kWidth];
        if (rows == kWidth && k + kNumbers <= depth) {
#pragma GCC unroll 16
          for (int r = 0; r < kWidth; ++r) t[r] = Words::along(from + r * w_row + k, kNumbers);
          transpose16(t);
#pragma GCC unroll 16
          for (int i = 0; i < kWidth; ++i) store(to + i * width, t[i]);
        } else {
          for (int r = 0; r < kWidth; ++r) {
            t[r] = r < rows ? Words::along(from + r * w_row + k, depth - k) : splat(0.0f);
          }
          transpose16(t);
          const std::int64_t words =
              at_most(kWidth, (depth - k + Words::kNumbers - 1) / Words::kNumbers);
          for (int i = 0; i < words; ++i) store(to + i * width, t[i]);
        }
        to += kWidth * width;
      }
    }
  }
}

template <class Words, int panel>
void pack_panels(float* panels, std::int64_t panel_words, const float* b, std::int64_t b_row,
                 std::int64_t columns, std::int64_t depth) {
  for (std::int64_t first = 0; first < columns; first += panel, panels += panel * panel_words) {
    const std::int64_t width = at_most(panel, columns - first);
    float* to = panels;
    for (std::int64_t k = 0; k < depth; k += Words::kNumbers) {
      const float* const from = b + k * b_row + first;
      const float* const next = k + 1 < depth ? from + b_row : nullptr;
      const auto copy = [&](std::int64_t j, auto lanes) {
        store(to + j, Words::across(from + j, next == nullptr ? next : next + j, lanes));
      };
      if (width == panel) {
#pragma GCC unroll 4
        for (std::int64_t j = 0; j < panel; j += kWidth) copy(j, Whole{});
      } else {
        for_vectors(width, copy);
      }
      to += up_to_vector(width);
    }
  }
}

template <class Words>
void pack_rows(float* words, std::int64_t words_row, const float* a, std::int64_t a_row,
               std::int64_t rows, std::int64_t depth) {
  for (std::int64_t m = 0; m < rows; ++m, words += words_row, a += a_row) {
    float* to = words;
    for (std::int64_t k = 0; k < depth; k += kWidth * Words::kNumbers, to += kWidth) {
      store(to, Words::along(a + k, depth - k));
    }
  }
}

// Word k of the strips that the vector covers: strip 0 in its first lanes, and so on.
template <int strip>
LOCKSTEP_INLINE void store_strips(float* to, std::int64_t next_strip, V v) {
#if LOCKSTEP_SIMD == 512
  static_assert(strip == kWidth / 2);
  _mm256_storeu_ps(to, _mm512_castps512_ps256(v.x));
  _mm256_storeu_ps(to + next_strip, _mm512_extractf32x8_ps(v.x, 1));
#else
  static_cast<void>(next_strip);
  store_part(to, v, strip);
#endif
}

// A few rows at a time: strips may lie a multiple of 4096 bytes apart, where lines of all of them
// at once would drive each other out of the first-level cache.
template <class Words, int strip>
void pack_strips(float* strips, const float* a, std::int64_t a_row, std::int64_t rows,
                 std::int64_t depth) {
  constexpr std::int64_t kAhead = 8 * kWidth;  // 8 lines in the row
  constexpr std::int64_t kRows = 16, kStrips = LOCKSTEP_SIMD == 512 ? 2 : 1;
  const std::int64_t words = (depth + Words::kNumbers - 1) / Words::kNumbers;
  for (std::int64_t begin = 0; begin < words; begin += kRows) {
    const std::int64_t end = at_most(begin + kRows, words);
    float* to = strips + begin * strip;
    for (std::int64_t m = 0; m < rows; m += kStrips * strip, to += kStrips * words * strip) {
      const float* from = a + begin * Words::kNumbers * a_row + m;
      const std::int64_t left = rows - m;
      const auto word = [&](std::int64_t k, auto lanes) {
        const float* const next = Words::kNumbers * k + 1 < depth ? from + a_row : nullptr;
        const V v = Words::across(from, next, lanes);
        from += Words::kNumbers * a_row;
        return v;
      };
      float* at = to;
      if (left >= kStrips * strip && kStrips * strip == kWidth) {
        for (std::int64_t k = begin; k < end; ++k, at += strip) {
          __builtin_prefetch(from + kAhead);
          store_strips<strip>(at, words * strip, word(k, Whole{}));
        }
      } else if (left > strip) {
        const Part lanes{static_cast<int>(at_most(kStrips * strip, left))};
        for (std::int64_t k = begin; k < end; ++k, at += strip) {
          store_strips<strip>(at, words * strip, word(k, lanes));
        }
      } else {
        const Part lanes{static_cast<int>(left)};
        for (std::int64_t k = begin; k < end; ++k, at += strip) {
          store_part(at, word(k, lanes), strip);
        }
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::ops
