// Backward of attention over one sample: Dao et al. 2022, algorithm 4. Keys outside, queries inside;
// probabilities are computed again from the saved largest scores and sums, bit for bit. Sums run
// over heads of a group, then key blocks, then query blocks, in order. Flops: 10 * width a pair.
#include "ops/cpu/attention_forward.inl"

namespace lockstep::ops {
namespace {

// Of one head; all with rows of `padded` floats but the transposes, which are blocks of columns.
struct HeadGradients {
  float *keys, *queries, *d_output;              // [tokens]
  float *query_columns, *d_output_columns;       // blocks of kQueryBlock
  float *key_panels, *value_panels;              // panels of kPanelKeys
  float *d_queries, *d_keys, *d_values;          // [tokens]
  float *weights, *d_scores;                     // [kQueryBlock][kPanelKeys]
  float* dots;                                   // [tokens]: d_output . output
};

void clear(float* x, std::int64_t n) {
  for_vectors(n, [=](std::int64_t i, auto lanes) { store(x + i, splat(0.0f), lanes); });
}

void gather_head(const AttentionPass& p, const HeadGradients& h, std::int64_t head) {
  const std::int64_t step = p.heads * p.width;
  const float* d_output = p.d_output + head * p.width;
  const float* output = p.output + head * p.width;
  gather_rows(p, h.queries, p.qkv + head * p.width, token_step(p), p.tokens, turns_of(p, 0));
  gather_rows(p, h.d_output, d_output, step, p.tokens, nullptr);
  transpose_blocks(p, h.query_columns, kQueryBlock, h.queries, p.tokens, p.scale * kLog2E);
  transpose_blocks(p, h.d_output_columns, kQueryBlock, h.d_output, p.tokens, 1.0f);
  for (std::int64_t t = 0; t < p.tokens; ++t, d_output += step, output += step) {
    V total = splat(0.0f);
    for_vectors(p.width, [&](std::int64_t i, auto lanes) {
      total = fma(load(d_output + i, lanes), load(output + i, lanes), total);
    });
    h.dots[t] = sum(total);
  }
  clear(h.d_queries, p.tokens * p.padded);
}

// Scores and d_output V^T of one block to probabilities (after dropout) and gradients of scores.
void weigh_gradients(const AttentionPass& p, const HeadGradients& h, std::int64_t head,
                     std::int64_t first, std::int64_t skip, std::int64_t rows, std::int64_t key,
                     std::int64_t count) {
  const std::int64_t end = vectors_of(count) * kWidth;
  for (std::int64_t r = skip; r < rows; ++r) {
    const std::int64_t token = first + r, seen = visible(p, token, key, count);
    float* weights = h.weights + r * kPanelKeys;
    float* d_scores = h.d_scores + r * kPanelKeys;
    const float* saved = p.saved + (head * p.tokens + token) * kRowStatistics;
    const V most = splat(saved[0]), inverse = splat(saved[1]), mean = splat(h.dots[token]);
    float buffer[kKeyBlock + 2 * 64];
    const float* keep = nullptr;
    if (p.drop) keep = dropout_factors(p, buffer, head * p.tokens + token, key, seen);
    for_vectors(seen, [=](std::int64_t i, auto lanes) {
      V weight = power_of_two(load(weights + i) - most) * inverse, d = load(d_scores + i);
      V kept = weight;
      if (p.drop) {
        const V factor = load(keep + i, lanes);
        kept *= factor;
        d *= factor;
      }
      store(weights + i, only(kept, lanes));
      store(d_scores + i, only(weight * (d - mean), lanes));
    });
    for (std::int64_t i = vectors_of(seen) * kWidth; i < end; i += kWidth) {
      store(weights + i, splat(0.0f));
      store(d_scores + i, splat(0.0f));
    }
  }
}

// d_keys or d_values of key block [key, key + count) += factors^T rows, over the block's queries.
void add_to_keys(const AttentionPass& p, float* sums, const float* factors, const float* rows,
                 std::int64_t first, std::int64_t height, std::int64_t key, std::int64_t count) {
  for (std::int64_t k = 0; k < count; k += kTileRows) {
    const std::int64_t before = key + k - first;  // queries that do not see key k
    const std::int64_t skip = p.causal && before > 0 ? before : 0;
    if (skip >= height) return;
    multiply_strip<Order::kByDepth>({.c = sums + (key + k) * p.padded,
                                     .c_step = p.padded,
                                     .a = factors + skip * kPanelKeys + k,
                                     .a_step = kPanelKeys,
                                     .b = rows + (first + skip) * p.padded,
                                     .b_step = p.padded,
                                     .depth = height - skip,
                                     .add = true,
                                     .factors = nullptr},
                                    smaller(kTileRows, count - k), p.padded / kWidth);
  }
}

// The part of queries [first, first + rows) and keys [key, key + count).
void block_gradients(const AttentionPass& p, const HeadGradients& h, std::int64_t head,
                     std::int64_t first, std::int64_t rows, std::int64_t key, std::int64_t count) {
  const std::int64_t before = p.causal && key > first ? key - first : 0;
  const std::int64_t skip = before / kTileRows * kTileRows;  // whole tiles that see no key
  const auto products = [&](float* to, const float* columns, const float* panels) {
    for (std::int64_t r = skip; r < rows; r += kTileRows) {
      const std::int64_t height = smaller(kTileRows, rows - r);
      const std::int64_t seen = visible(p, first + r + height - 1, key, count);
      multiply_strip<Order::kByDepth>({.c = to + r * kPanelKeys,
                                       .c_step = kPanelKeys,
                                       .a = columns + first * p.padded + r,
                                       .a_step = kQueryBlock,
                                       .b = panels + key * p.padded,
                                       .b_step = kPanelKeys,
                                       .depth = p.width,
                                       .add = false,
                                       .factors = nullptr},
                                      height, vectors_of(seen));
    }
  };
  products(h.weights, h.query_columns, h.key_panels);
  products(h.d_scores, h.d_output_columns, h.value_panels);
  weigh_gradients(p, h, head, first, skip, rows, key, count);
  add_to_keys(p, h.d_values, h.weights, h.d_output, first, rows, key, count);
  add_to_keys(p, h.d_keys, h.d_scores, h.queries, first, rows, key, count);
  for (std::int64_t r = skip; r < rows; r += kTileRows) {
    const std::int64_t height = smaller(kTileRows, rows - r);
    multiply_strip<Order::kByRow>({.c = h.d_queries + (first + r) * p.padded,
                                   .c_step = p.padded,
                                   .a = h.d_scores + r * kPanelKeys,
                                   .a_step = kPanelKeys,
                                   .b = h.keys + key * p.padded,
                                   .b_step = p.padded,
                                   .depth = visible(p, first + r + height - 1, key, count),
                                   .add = true,
                                   .factors = nullptr},
                                  height, p.padded / kWidth);
  }
}

void head_gradients(const AttentionPass& p, const HeadGradients& h, std::int64_t head) {
  for (std::int64_t key = 0; key < p.tokens; key += kPanelKeys) {
    const std::int64_t count = smaller(kPanelKeys, p.tokens - key);
    const std::int64_t begin = p.causal ? key / kQueryBlock * kQueryBlock : 0;
    for (std::int64_t first = begin; first < p.tokens; first += kQueryBlock) {
      block_gradients(p, h, head, first, smaller(kQueryBlock, p.tokens - first), key, count);
    }
  }
}

HeadGradients place(const AttentionPass& p) {
  float* next = p.scratch;
  const auto take = [&next](std::int64_t floats) {
    float* here = next;
    next += floats;
    return here;
  };
  const std::int64_t rows = p.tokens * p.padded, panels = p.keys * p.padded;
  const std::int64_t blocks = (p.tokens + kQueryBlock - 1) / kQueryBlock * kQueryBlock * p.padded;
  constexpr std::int64_t kBlock = kQueryBlock * kPanelKeys;
  return {.keys = take(rows),
          .queries = take(rows),
          .d_output = take(rows),
          .query_columns = take(blocks),
          .d_output_columns = take(blocks),
          .key_panels = take(panels),
          .value_panels = take(panels),
          .d_queries = take(rows),
          .d_keys = take(rows),
          .d_values = take(rows),
          .weights = take(kBlock),
          .d_scores = take(kBlock),
          .dots = take(p.tokens)};
}

void attention_backward(const AttentionPass& p) {
  const HeadGradients h = place(p);
  const std::int64_t group = p.heads / p.kv_heads, step = token_step(p);
  for (std::int64_t g = 0; g < p.kv_heads; ++g) {
    const std::int64_t key_column = (p.heads + g) * p.width;
    const std::int64_t value_column = key_column + p.kv_heads * p.width;
    // d_values lends its place to the values' rows, which only their panels need.
    gather_rows(p, h.d_values, p.qkv + value_column, step, p.tokens, nullptr);
    transpose_blocks(p, h.value_panels, kPanelKeys, h.d_values, p.tokens, 1.0f);
    gather_rows(p, h.keys, p.qkv + key_column, step, p.tokens, turns_of(p, 0));
    transpose_blocks(p, h.key_panels, kPanelKeys, h.keys, p.tokens, 1.0f);
    clear(h.d_keys, p.tokens * p.padded);
    clear(h.d_values, p.tokens * p.padded);
    for (std::int64_t head = g * group; head < (g + 1) * group; ++head) {
      gather_head(p, h, head);
      head_gradients(p, h, head);
      scatter_rows(p, p.d_qkv + head * p.width, step, h.d_queries, p.tokens, turns_of(p, 0),
                   p.scale);
    }
    scatter_rows(p, p.d_qkv + key_column, step, h.d_keys, p.tokens, turns_of(p, 0), p.scale);
    scatter_rows(p, p.d_qkv + value_column, step, h.d_values, p.tokens, nullptr, 1.0f);
  }
}

}  // namespace
}  // namespace lockstep::ops
