// Attention's factors: rows of a head out of and into [tokens, channels], rotated on the way (Su et
// al. 2021, eq. 34), padded with +0 to whole vectors, their transposes, and both as words.
#include "ops/cpu/attention_kernels.h"
#include "ops/cpu/gemm_words.h"
#include "ops/cpu/transpose_tile.h"

namespace lockstep::ops {
namespace {

// to[0, width) = from * factor.
LOCKSTEP_INLINE void copy_row(float* to, const float* from, std::int64_t width, V factor) {
  std::int64_t i = 0;
  for (; i + 4 * kWidth <= width; i += 4 * kWidth) {  // a head of 64 without a loop
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      store(to + i + v * kWidth, load(from + i + v * kWidth) * factor);
    }
  }
  for_vectors(width - i, [=](std::int64_t j, auto lanes) {
    store(to + i + j, load(from + i + j, lanes) * factor, lanes);
  });
}

// The same, rotated by the angles of `turn` forth (sign +1) or back (-1): a multiplication of the
// pairs (i, i + width / 2) by cos + i sign sin.
LOCKSTEP_INLINE void turn_row(float* to, const float* from, std::int64_t width, const float* turn,
                              float sign, V factor) {
  const std::int64_t half = width / 2;
  for_vectors(half, [=](std::int64_t i, auto lanes) {
    const V x = load(from + i, lanes) * factor, y = load(from + half + i, lanes) * factor;
    const V c = load(turn + i, lanes), s = load(turn + half + i, lanes) * splat(sign);
    store(to + i, fma(x, c, -(y * s)), lanes);
    store(to + half + i, fma(y, c, x * s), lanes);
  });
}

// rows [rows][padded] of the head at `from`, rows `step` apart, that stand at `position` and on.
void gather_rows(const AttentionPass& p, float* rows, const float* from, std::int64_t step,
                 std::int64_t count, const float* turns) {
  const std::int64_t width = p.width, padded = p.padded;
  const V one = splat(1.0f);
  for (std::int64_t r = 0; r < count; ++r, rows += padded, from += step) {
    if (padded > width) store(rows + padded - kWidth, splat(0.0f));
    if (turns == nullptr) {
      copy_row(rows, from, width, one);
    } else {
      turn_row(rows, from, width, turns + r * width, 1.0f, one);
    }
  }
}

// The way back of a gradient: rotated back and multiplied by factor.
void scatter_rows(const AttentionPass& p, float* to, std::int64_t step, const float* rows,
                  std::int64_t count, const float* turns, float factor) {
  const std::int64_t width = p.width, padded = p.padded;
  const V scale = splat(factor);
  for (std::int64_t r = 0; r < count; ++r, rows += padded, to += step) {
    if (turns == nullptr) {
      copy_row(to, rows, width, scale);
    } else {
      turn_row(to, rows, width, turns + r * width, -1.0f, scale);
    }
  }
}

// Word (d, r) of columns [padded / numbers][step] = numbers of rows[r] from d on, times factor, for
// up to 16 rows; columns up to 16 become +0.
template <class W>
void transpose_rows(const AttentionPass& p, float* columns, std::int64_t step, const float* rows,
                    std::int64_t count, float factor) {
  const V scale = splat(factor);
  for (std::int64_t d = 0; d < p.padded; d += kWidth) {
    V t[16];
    if (count == 16) {
      for (int r = 0; r < 16; ++r) t[r] = load(rows + r * p.padded + d) * scale;
    } else {
      for (int r = 0; r < 16; ++r) {
        t[r] = r < count ? load(rows + r * p.padded + d) * scale : splat(0.0f);
      }
    }
    transpose16(t);
    for (int i = 0; i < 16; i += W::kNumbers, columns += step) {
      if constexpr (W::kNumbers == 1) {
        store(columns, t[i]);
      } else {
        store(columns, W::pair(t[i], t[i + 1]));
      }
    }
  }
}

// Blocks [count / width][padded / numbers][width] of columns, from rows [count][padded].
template <class W>
void transpose_blocks(const AttentionPass& p, float* blocks, std::int64_t width, const float* rows,
                      std::int64_t count, float factor) {
  for (std::int64_t first = 0; first < count; first += kWidth) {
    const std::int64_t left = count - first;
    float* to = blocks + first / width * width * (p.padded / W::kNumbers) + first % width;
    transpose_rows<W>(p, to, width, rows + first * p.padded, left < kWidth ? left : kWidth, factor);
  }
}

// In place: rows of words whose inner dimension runs down the rows, [count / numbers][step], from
// rows of numbers [count][step].
template <class W>
void words_down(float* rows, std::int64_t step, std::int64_t count) {
  if constexpr (W::kNumbers == 2) {
    float* to = rows;
    for (std::int64_t r = 0; r < count; r += 2, rows += 2 * step, to += step) {
      const float* next = r + 1 < count ? rows + step : nullptr;
      for (std::int64_t i = 0; i < step; i += kWidth) {
        store(to + i, W::across(rows + i, next == nullptr ? next : next + i, Whole{}));
      }
    }
  }
}

// Words whose inner dimension runs along a row of `count` numbers, a multiple of 16; to may be row.
template <class W>
LOCKSTEP_INLINE void words_along(float* to, const float* row, std::int64_t count) {
  if constexpr (W::kNumbers == 2) {
    for (std::int64_t i = 0; i < count; i += 2 * kWidth) {
      store(to + i / 2, W::along(row + i, count - i));
    }
  }
}

LOCKSTEP_INLINE std::int64_t token_step(const AttentionPass& p) {
  return (p.heads + 2 * p.kv_heads) * p.width;
}
LOCKSTEP_INLINE const float* turns_of(const AttentionPass& p, std::int64_t token) {
  return p.rotation == nullptr ? nullptr : p.rotation + (p.position + token) * p.width;
}

// Rows of a head lie too far apart for the processor to foresee them: they are asked for while the
// head before is at work. A row at `from`, into the second-level cache.
LOCKSTEP_INLINE void fetch_row(const AttentionPass& p, const float* from) {
  const char* line = reinterpret_cast<const char*>(from);
  const char* end = line + p.width * sizeof(float);
  for (; line < end; line += 64) __builtin_prefetch(line, 0, 2);
}

// What the head after `head` reads of a token's queries, keys and values.
LOCKSTEP_INLINE void fetch_next_head(const AttentionPass& p, std::int64_t head,
                                     std::int64_t token) {
  const float* row = p.qkv + token * token_step(p);
  const std::int64_t group = p.heads / p.kv_heads;
  std::int64_t next = head + 1;
  if (next == p.heads) {
    if (p.last) return;
    next = 0;
    row += p.tokens * token_step(p);
  }
  fetch_row(p, row + next * p.width);
  if (next % group != 0) return;
  const float* keys = row + (p.heads + next / group) * p.width;
  fetch_row(p, keys);
  fetch_row(p, keys + p.kv_heads * p.width);
}

// Rows [position, position + count) of a store's values; rows: theirs, which are overwritten.
template <class W>
void fill_values(const AttentionPass& p, float* store_rows, float* rows, std::int64_t count) {
  std::int64_t at = p.position;
  if constexpr (W::kNumbers == 2) {
    if (at % 2 != 0) {  // the other half of a word that is there
      float* to = store_rows + at / 2 * p.padded;
      for (std::int64_t i = 0; i < p.padded; i += kWidth) {
        const I low = bits(load(to + i)) & splat_int(0xffff);
        store(to + i, from_bits(low | bits(W::pair(splat(0.0f), load(rows + i)))));
      }
      rows += p.padded;
      --count;
      ++at;
    }
    words_down<W>(rows, p.padded, count);
    count = (count + 1) / 2;
  }
  float* to = store_rows + at / W::kNumbers * p.padded;
  for_vectors(count * p.padded, [=](std::int64_t i, auto) { store(to + i, load(rows + i)); });
}

// Adds keys and values of all tokens to the store of key head g. rows: scratch, [64][padded].
template <class W>
void fill_store(const AttentionPass& p, float* panels, float* rows, std::int64_t g) {
  const float* keys = p.qkv + (p.heads + g) * p.width;
  const float* values = keys + p.kv_heads * p.width;
  const std::int64_t step = token_step(p), depth = p.padded / W::kNumbers;
  AttentionPass part = p;
  for (std::int64_t t = 0; t < p.tokens; t += kPanelKeys) {
    const std::int64_t left = p.tokens - t, count = left < kPanelKeys ? left : kPanelKeys;
    part.position = p.position + t;
    gather_rows(p, rows, values + t * step, step, count, nullptr);
    fill_values<W>(part, panels + p.keys * depth, rows, count);
  }
  for (std::int64_t t = 0; t < p.tokens;) {
    const std::int64_t at = p.position + t, left = p.tokens - t;
    float* to = panels + at / kPanelKeys * kPanelKeys * depth + at % kPanelKeys;
    const std::int64_t count = at % kWidth != 0 ? 1 : left < kWidth ? left : kWidth;
    gather_rows(p, rows, keys + t * step, step, count, turns_of(p, t));
    if (at % kWidth == 0) {
      transpose_rows<W>(p, to, kPanelKeys, rows, count, 1.0f);
    } else {
      words_along<W>(rows, rows, p.padded);
      for (std::int64_t d = 0; d < depth; ++d) to[d * kPanelKeys] = rows[d];
    }
    t += count;
  }
}

}  // namespace
}  // namespace lockstep::ops
