// Forward of attention over one sample: Dao et al. 2022, algorithm 1, with queries outside and keys
// inside. Key blocks begin at multiples of kKeyBlock from key 0, so that a query's row is the same
// chain of operations in a whole sequence and after a cache. Flops: 4 * width for each pair.
#include "ops/cpu/attention_pack.inl"
#include "ops/cpu/attention_softmax.inl"
#include "ops/cpu/attention_tiles.inl"

namespace lockstep::ops {
namespace {

constexpr float kLog2E = 1.44269504f;

LOCKSTEP_INLINE std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
LOCKSTEP_INLINE std::int64_t vectors_of(std::int64_t n) { return (n + kWidth - 1) / kWidth; }

// Words of an inner dimension of n numbers.
template <class W>
LOCKSTEP_INLINE std::int64_t words_of(std::int64_t n) {
  return (n + W::kNumbers - 1) / W::kNumbers;
}

// The rows of a query block while its key blocks pass by.
struct QueryRows {
  float *columns, *scores, *output;  // [padded][block], [block][kKeyBlock], [block][padded]
  alignas(64) float largest[kQueryBlock], next[kQueryBlock], factors[kQueryBlock];
  alignas(64) float sums[kQueryBlock][kWidth];
};

// Keys of [key, key + count) that the query of `token` sees: the first so many.
LOCKSTEP_INLINE std::int64_t visible(const AttentionPass& p, std::int64_t token, std::int64_t key,
                                     std::int64_t count) {
  if (!p.causal) return count;
  const std::int64_t n = p.position + token + 1 - key;
  return n < 0 ? 0 : smaller(n, count);
}

template <class W>
void score_block(const AttentionPass& p, const QueryRows& q, const float* panels,
                 std::int64_t first, std::int64_t rows, std::int64_t key, std::int64_t count) {
  const Product product{
      .c_step = kKeyBlock, .a_step = kQueryBlock, .b_step = kPanelKeys, .add = false};
  for (std::int64_t panel = 0; panel < count; panel += kPanelKeys) {
    const std::int64_t keys = smaller(kPanelKeys, count - panel);
    const float* factor = panels + (key + panel) * (p.padded / W::kNumbers);
    for (std::int64_t r = 0; r < rows; r += kTileRows) {
      const std::int64_t height = smaller(kTileRows, rows - r);
      const std::int64_t seen = visible(p, first + r + height - 1, key + panel, keys);
      multiply_strip<W, Order::kByDepth>(height, vectors_of(seen), product,
                                         q.scores + r * kKeyBlock + panel, q.columns + r, factor,
                                         words_of<W>(p.width));
    }
  }
}

// Scores to powers; the factors that what was summed before must be multiplied by.
template <class W>
void weigh_block(const AttentionPass& p, QueryRows& q, std::int64_t head, std::int64_t first,
                 std::int64_t rows, std::int64_t key, std::int64_t count) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t seen = visible(p, first + r, key, count);
    q.next[r] = largest_score(q.scores + r * kKeyBlock, seen, q.largest[r]);
  }
  for (std::int64_t r = 0; r < rows; r += kWidth) {
    const V next = load(q.next + r);
    if (key > 0) store(q.factors + r, power_of_two(load(q.largest + r) - next));
    store(q.largest + r, next);
  }
  const std::int64_t end = vectors_of(count) * kWidth;
  for (std::int64_t r = 0; r < rows; ++r) {
    float* scores = q.scores + r * kKeyBlock;
    const std::int64_t seen = visible(p, first + r, key, count);
    if (key > 0) {
      store(q.sums[r], load(q.sums[r]) * splat(q.factors[r]));
    } else {
      fetch_next_head(p, head, first + r);
      fetch_row(p, p.output + ((first + r) * p.heads + head) * p.width);
    }
    row_powers(scores, seen, end, q.largest[r], q.sums[r]);
    if (p.drop) {
      float buffer[kKeyBlock + 2 * 64];
      const float* keep = dropout_factors(p, buffer, head * p.tokens + first + r, key, seen);
      for_vectors(seen, [=](std::int64_t i, auto lanes) {
        store(scores + i, load(scores + i, lanes) * load(keep + i, lanes), lanes);
      });
    }
    words_along<W>(scores, scores, end);
  }
}

template <class W>
void add_values(const AttentionPass& p, const QueryRows& q, const float* values, std::int64_t first,
                std::int64_t rows, std::int64_t key, std::int64_t count) {
  const Product product{
      .c_step = p.padded, .a_step = kKeyBlock, .b_step = p.padded, .add = key > 0};
  values += key / W::kNumbers * p.padded;
  for (std::int64_t r = 0; r < rows; r += kTileRows) {
    const std::int64_t height = smaller(kTileRows, rows - r);
    const std::int64_t seen = visible(p, first + r + height - 1, key, count);
    multiply_strip<W, Order::kByRow>(height, p.padded / kWidth, product, q.output + r * p.padded,
                                     q.scores + r * kKeyBlock, values, words_of<W>(seen),
                                     q.factors + r);
  }
}

// Rows [first, first + rows) of a head.
template <class W>
void attend(const AttentionPass& p, QueryRows& q, const float* panels, std::int64_t head,
            std::int64_t first, std::int64_t rows) {
  for (std::int64_t r = 0; r < kQueryBlock; ++r) q.largest[r] = -__builtin_inff();
  for (std::int64_t r = 0; r < kQueryBlock; ++r) store(q.sums[r], splat(0.0f));
  const std::int64_t keys = p.position + (p.causal ? first + rows : p.tokens);
  for (std::int64_t key = 0; key < keys; key += kKeyBlock) {
    const std::int64_t count = smaller(kKeyBlock, keys - key);
    score_block<W>(p, q, panels, first, rows, key, count);
    weigh_block<W>(p, q, head, first, rows, key, count);
    add_values<W>(p, q, panels + p.keys * (p.padded / W::kNumbers), first, rows, key, count);
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    const float inverse = 1.0f / sum(load(q.sums[r]));
    float* to = p.output + ((first + r) * p.heads + head) * p.width;
    const float* from = q.output + r * p.padded;
    for_vectors(p.width, [=](std::int64_t i, auto lanes) {
      store(to + i, load(from + i, lanes) * splat(inverse), lanes);
    });
    if (p.saved != nullptr) {
      float* saved = p.saved + (head * p.tokens + first + r) * kRowStatistics;
      saved[0] = q.largest[r];
      saved[1] = inverse;
    }
  }
}

template <class W>
void attention_forward(const AttentionPass& p) {
  QueryRows q;
  float* rows = p.scratch;  // [kPanelKeys][padded]
  q.columns = rows + kPanelKeys * p.padded;
  q.output = q.columns + kQueryBlock * p.padded;
  q.scores = q.output + kQueryBlock * p.padded;
  const std::int64_t group = p.heads / p.kv_heads, step = token_step(p);
  for (std::int64_t g = 0; g < p.kv_heads; ++g) {
    float* store = p.stores + g * p.store_step;
    fill_store<W>(p, store, rows, g);
    for (std::int64_t head = g * group; head < (g + 1) * group; ++head) {
      for (std::int64_t first = 0; first < p.tokens; first += kQueryBlock) {
        const std::int64_t count = smaller(kQueryBlock, p.tokens - first);
        gather_rows(p, rows, p.qkv + first * step + head * p.width, step, count,
                    turns_of(p, first));
        transpose_blocks<W>(p, q.columns, kQueryBlock, rows, count, p.scale * kLog2E);
        attend<W>(p, q, store, head, first, count);
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::ops
