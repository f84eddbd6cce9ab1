// Attention's factors: rows of a head out of and into [tokens, channels], rotated on the way (Su et
// al. 2021, eq. 34), padded with +0 to whole vectors, and their transposes.
#include "ops/cpu/attention_kernels.h"
#include "ops/cpu/transpose_tile.h"

namespace lockstep::ops {
namespace {

// to[0, width) = from, rotated by the angles of `turn` (null: none), forth (sign +1) or back (-1).
// The same as a multiplication of the pairs (i, i + width / 2) by cos + i sign sin.
LOCKSTEP_INLINE void copy_row(float* to, const float* from, std::int64_t width, const float* turn,
                              float sign, float factor) {
  const V scale = splat(factor);
  if (turn == nullptr) {
    for_vectors(width, [=](std::int64_t i, auto lanes) {
      store(to + i, load(from + i, lanes) * scale, lanes);
    });
    return;
  }
  const std::int64_t half = width / 2;
  for_vectors(half, [=](std::int64_t i, auto lanes) {
    const V x = load(from + i, lanes) * scale, y = load(from + half + i, lanes) * scale;
    const V c = load(turn + i, lanes), s = load(turn + half + i, lanes) * splat(sign);
    store(to + i, fma(x, c, -(y * s)), lanes);
    store(to + half + i, fma(y, c, x * s), lanes);
  });
}

// rows [rows][padded] of the head at `from`, rows `step` apart, that stand at `position` and on.
void gather_rows(const AttentionPass& p, float* rows, const float* from, std::int64_t step,
                 std::int64_t count, const float* turns) {
  for (std::int64_t r = 0; r < count; ++r, rows += p.padded, from += step) {
    if (p.padded > p.width) store(rows + p.padded - kWidth, splat(0.0f));
    copy_row(rows, from, p.width, turns == nullptr ? nullptr : turns + r * p.width, 1.0f, 1.0f);
  }
}

// The way back of a gradient: rotated back and multiplied by factor.
void scatter_rows(const AttentionPass& p, float* to, std::int64_t step, const float* rows,
                  std::int64_t count, const float* turns, float factor) {
  for (std::int64_t r = 0; r < count; ++r, rows += p.padded, to += step) {
    copy_row(to, rows, p.width, turns == nullptr ? nullptr : turns + r * p.width, -1.0f, factor);
  }
}

// columns[d * step + r] = rows[r][d] * factor for up to 16 rows; columns up to 16 become +0.
void transpose_rows(const AttentionPass& p, float* columns, std::int64_t step, const float* rows,
                    std::int64_t count, float factor) {
  const V scale = splat(factor);
  for (std::int64_t d = 0; d < p.padded; d += kWidth) {
    V t[16];
    for (int r = 0; r < 16; ++r) {
      t[r] = r < count ? load(rows + r * p.padded + d) * scale : splat(0.0f);
    }
    transpose16(t);
    for (int i = 0; i < 16; ++i) store(columns + (d + i) * step, t[i]);
  }
}

// Blocks [count / width][padded][width] of columns, from rows [count][padded].
void transpose_blocks(const AttentionPass& p, float* blocks, std::int64_t width, const float* rows,
                      std::int64_t count, float factor) {
  for (std::int64_t first = 0; first < count; first += kWidth) {
    const std::int64_t left = count - first;
    float* to = blocks + first / width * width * p.padded + first % width;
    transpose_rows(p, to, width, rows + first * p.padded, left < kWidth ? left : kWidth, factor);
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

// Adds keys and values of all tokens to a store, of key head g.
void fill_store(const AttentionPass& p, float* panels, float* rows, std::int64_t g) {
  const float* keys = p.qkv + (p.heads + g) * p.width;
  const float* values = keys + p.kv_heads * p.width;
  const std::int64_t step = token_step(p);
  gather_rows(p, panels + (p.keys + p.position) * p.padded, values, step, p.tokens, nullptr);
  std::int64_t t = 0;
  while (t < p.tokens) {
    const std::int64_t at = p.position + t, left = p.tokens - t;
    float* to = panels + at / kPanelKeys * kPanelKeys * p.padded + at % kPanelKeys;
    const std::int64_t count = at % kWidth != 0 ? 1 : left < kWidth ? left : kWidth;
    gather_rows(p, rows, keys + t * step, step, count, turns_of(p, t));
    if (at % kWidth == 0) {
      transpose_rows(p, to, kPanelKeys, rows, count, 1.0f);
    } else {
      for (std::int64_t d = 0; d < p.padded; ++d) to[d * kPanelKeys] = rows[d];
    }
    t += count;
  }
}

}  // namespace
}  // namespace lockstep::ops
