// Backward of attention over one sample: Dao et al. 2022, algorithm 4, with queries outside.
// Probabilities are computed again from the saved largest scores and sums, bit for bit. A key's
// gradient is a sum over the heads of its group, then over query blocks, a query's one over key
// blocks, all in order. Flops: 10 * width for each pair.
#include "ops/cpu/attention_forward.inl"

namespace lockstep::ops {
namespace {

// Of one key head: rows of `padded` floats, or panels of kPanelKeys columns.
struct KeyGradients {
  float *keys, *key_panels, *value_panels;
  float *d_keys, *d_values;
};

// Of one block of queries of one head.
struct QueryGradients {
  float *queries, *d_output, *d_queries;     // rows
  float *query_columns, *d_output_columns;   // [padded][kQueryBlock]
  float *weights, *d_scores;                 // [kQueryBlock][kPanelKeys]; words: down the rows
  float* d_score_words;                      // [kQueryBlock][kPanelKeys]: along the rows
  float dots[kQueryBlock];                   // d_output . output
};

struct QueryBlock {
  std::int64_t head, first, rows;
};

void clear(float* x, std::int64_t n) {
  for_vectors(n, [=](std::int64_t i, auto lanes) { store(x + i, splat(0.0f), lanes); });
}

template <class W>
void gather_queries(const AttentionPass& p, QueryGradients& q, const QueryBlock& b) {
  const std::int64_t step = p.heads * p.width;
  const float* from = p.qkv + b.first * token_step(p) + b.head * p.width;
  const float* d_output = p.d_output + b.first * step + b.head * p.width;
  const float* output = p.output + b.first * step + b.head * p.width;
  gather_rows(p, q.queries, from, token_step(p), b.rows, turns_of(p, b.first));
  gather_rows(p, q.d_output, d_output, step, b.rows, nullptr);
  transpose_blocks<W>(p, q.query_columns, kQueryBlock, q.queries, b.rows, p.scale * kLog2E);
  transpose_blocks<W>(p, q.d_output_columns, kQueryBlock, q.d_output, b.rows, 1.0f);
  for (std::int64_t r = 0; r < b.rows; ++r, output += step) {
    const float* d_row = q.d_output + r * p.padded;
    V total = splat(0.0f);
    for_vectors(p.width, [&](std::int64_t i, auto lanes) {
      total = fma(load(d_row + i), load(output + i, lanes), total);
    });
    q.dots[r] = sum(total);
  }
  words_down<W>(q.queries, p.padded, b.rows);
  words_down<W>(q.d_output, p.padded, b.rows);
  clear(q.d_queries, b.rows * p.padded);
}

// What the next head reads of a token, and what this one writes.
LOCKSTEP_INLINE void fetch_token(const AttentionPass& p, std::int64_t head, std::int64_t token) {
  fetch_next_head(p, head, token);
  float* to = p.d_qkv + token * token_step(p);
  fetch_row(p, to + head * p.width);
  const std::int64_t group = p.heads / p.kv_heads;
  if ((head + 1) % group == 0) {
    float* keys = to + (p.heads + head / group) * p.width;
    fetch_row(p, keys);
    fetch_row(p, keys + p.kv_heads * p.width);
  }
  if (head + 1 == p.heads && p.last) return;
  const std::int64_t next = head + 1 < p.heads ? head + 1 : p.tokens * p.heads;
  const std::int64_t at = (token * p.heads + next) * p.width;
  fetch_row(p, p.output + at);
  fetch_row(p, p.d_output + at);
}

// to[row][key] of the block: columns^T panels.
template <class W>
void block_products(const AttentionPass& p, float* to, const float* columns, const float* panels,
                    const QueryBlock& b, std::int64_t key, std::int64_t count) {
  const Product product{
      .c_step = kPanelKeys, .a_step = kQueryBlock, .b_step = kPanelKeys, .add = false};
  panels += key * (p.padded / W::kNumbers);
  for (std::int64_t r = 0; r < b.rows; r += kTileRows) {
    const std::int64_t height = smaller(kTileRows, b.rows - r);
    const std::int64_t seen = visible(p, b.first + r + height - 1, key, count);
    multiply_strip<W, Order::kByDepth>(height, vectors_of(seen), product, to + r * kPanelKeys,
                                       columns + r, panels, words_of<W>(p.width));
  }
}

// Scores and d_output V^T of one block to probabilities (after dropout) and gradients of scores.
template <class W>
void weigh_gradients(const AttentionPass& p, const QueryGradients& q, const QueryBlock& b,
                     std::int64_t key, std::int64_t count) {
  const std::int64_t end = vectors_of(count) * kWidth;
  for (std::int64_t r = 0; r < b.rows; ++r) {
    const std::int64_t token = b.first + r, seen = visible(p, token, key, count);
    if (key == 0) fetch_token(p, b.head, token);
    float* weights = q.weights + r * kPanelKeys;
    float* d_scores = q.d_scores + r * kPanelKeys;
    const float* saved = p.saved + (b.head * p.tokens + token) * kRowStatistics;
    const V most = splat(saved[0]), inverse = splat(saved[1]), dot = splat(q.dots[r]);
    float buffer[kKeyBlock + 2 * 64];
    const float* keep = nullptr;
    if (p.drop) keep = dropout_factors(p, buffer, b.head * p.tokens + token, key, seen);
    for_vectors(seen, [=](std::int64_t i, auto lanes) {
      const V weight = power_of_two(load(weights + i) - most) * inverse;
      V d = load(d_scores + i), kept = weight;
      if (keep != nullptr) {
        const V factor = load(keep + i, lanes);
        kept *= factor;
        d *= factor;
      }
      store(weights + i, only(kept, lanes));
      store(d_scores + i, only(weight * (d - dot), lanes));
    });
    for (std::int64_t i = vectors_of(seen) * kWidth; i < end; i += kWidth) {
      store(weights + i, splat(0.0f));
      store(d_scores + i, splat(0.0f));
    }
    words_along<W>(q.d_score_words + r * kPanelKeys, d_scores, end);
  }
  words_down<W>(q.weights, kPanelKeys, b.rows);
  words_down<W>(q.d_scores, kPanelKeys, b.rows);
}

// Rows [key, key + count) of d_keys or d_values += factors^T rows, over the block's queries.
template <class W>
void add_to_keys(const AttentionPass& p, float* sums, const float* factors, const float* rows,
                 const QueryBlock& b, std::int64_t key, std::int64_t count) {
  const Product product{
      .c_step = p.padded, .a_step = kPanelKeys, .b_step = p.padded, .add = true};
  for (std::int64_t k = 0; k < count; k += kTileRows) {
    const std::int64_t before = key + k - b.first;  // queries that do not see key k
    if (p.causal && before >= b.rows) return;
    const std::int64_t skip = p.causal && before > 0 ? before / W::kNumbers : 0;
    multiply_strip<W, Order::kByDepth>(smaller(kTileRows, count - k), p.padded / kWidth, product,
                                       sums + (key + k) * p.padded, factors + skip * kPanelKeys + k,
                                       rows + skip * p.padded, words_of<W>(b.rows) - skip);
  }
}

template <class W>
void add_to_queries(const AttentionPass& p, const QueryGradients& q, const float* keys,
                    const QueryBlock& b, std::int64_t key, std::int64_t count) {
  const Product product{
      .c_step = p.padded, .a_step = kPanelKeys, .b_step = p.padded, .add = true};
  keys += key / W::kNumbers * p.padded;
  for (std::int64_t r = 0; r < b.rows; r += kTileRows) {
    const std::int64_t height = smaller(kTileRows, b.rows - r);
    const std::int64_t seen = visible(p, b.first + r + height - 1, key, count);
    multiply_strip<W, Order::kByRow>(height, p.padded / kWidth, product, q.d_queries + r * p.padded,
                                     q.d_score_words + r * kPanelKeys, keys, words_of<W>(seen));
  }
}

template <class W>
void query_gradients(const AttentionPass& p, const KeyGradients& k, QueryGradients& q,
                     const QueryBlock& b) {
  gather_queries<W>(p, q, b);
  const std::int64_t keys = p.causal ? b.first + b.rows : p.tokens;
  for (std::int64_t key = 0; key < keys; key += kPanelKeys) {
    const std::int64_t count = smaller(kPanelKeys, keys - key);
    block_products<W>(p, q.weights, q.query_columns, k.key_panels, b, key, count);
    block_products<W>(p, q.d_scores, q.d_output_columns, k.value_panels, b, key, count);
    weigh_gradients<W>(p, q, b, key, count);
    add_to_keys<W>(p, k.d_values, q.weights, q.d_output, b, key, count);
    add_to_keys<W>(p, k.d_keys, q.d_scores, q.queries, b, key, count);
    add_to_queries<W>(p, q, k.keys, b, key, count);
  }
  scatter_rows(p, p.d_qkv + b.first * token_step(p) + b.head * p.width, token_step(p), q.d_queries,
               b.rows, turns_of(p, b.first), p.scale);
}

template <class W>
void attention_backward(const AttentionPass& p) {
  float* next = p.scratch;
  const auto take = [&next](std::int64_t floats) {
    float* here = next;
    next += floats;
    return here;
  };
  const std::int64_t panels = p.keys * p.padded, block = kQueryBlock * p.padded;
  const KeyGradients k{.keys = take(panels),
                       .key_panels = take(panels),
                       .value_panels = take(panels),
                       .d_keys = take(panels),
                       .d_values = take(panels)};
  QueryGradients q{.queries = take(block),
                   .d_output = take(block),
                   .d_queries = take(block),
                   .query_columns = take(block),
                   .d_output_columns = take(block),
                   .weights = take(kQueryBlock * kPanelKeys),
                   .d_scores = take(kQueryBlock * kPanelKeys)};
  q.d_score_words = W::kNumbers == 1 ? q.d_scores : take(kQueryBlock * kPanelKeys);
  const std::int64_t group = p.heads / p.kv_heads, step = token_step(p);
  for (std::int64_t g = 0; g < p.kv_heads; ++g) {
    const std::int64_t key_column = (p.heads + g) * p.width;
    const std::int64_t value_column = key_column + p.kv_heads * p.width;
    // d_values lends its place to the values' rows, which only their panels need.
    gather_rows(p, k.d_values, p.qkv + value_column, step, p.tokens, nullptr);
    transpose_blocks<W>(p, k.value_panels, kPanelKeys, k.d_values, p.tokens, 1.0f);
    gather_rows(p, k.keys, p.qkv + key_column, step, p.tokens, turns_of(p, 0));
    transpose_blocks<W>(p, k.key_panels, kPanelKeys, k.keys, p.tokens, 1.0f);
    words_down<W>(k.keys, p.padded, p.tokens);
    clear(k.d_keys, p.tokens * p.padded);
    clear(k.d_values, p.tokens * p.padded);
    for (std::int64_t head = g * group; head < (g + 1) * group; ++head) {
      for (std::int64_t first = 0; first < p.tokens; first += kQueryBlock) {
        query_gradients<W>(p, k, q, {head, first, smaller(kQueryBlock, p.tokens - first)});
      }
    }
    scatter_rows(p, p.d_qkv + key_column, step, k.d_keys, p.tokens, turns_of(p, 0), p.scale);
    scatter_rows(p, p.d_qkv + value_column, step, k.d_values, p.tokens, nullptr, 1.0f);
  }
}

}  // namespace
}  // namespace lockstep::ops
