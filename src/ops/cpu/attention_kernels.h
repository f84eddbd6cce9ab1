// The loops of attention over one sample, one table per instruction set and precision, filled from
// attention_*.inl. They know memory and numbers, never Args or the op's description.
//
// Keys and values of one key head ("store"): keys as panels [keys / 64][padded / numbers][64], a
// column for each key, already rotated; then values as rows [keys / numbers][padded]. Both hold
// words (gemm_words.h): one fp32 number, or two bf16 numbers that follow each other in the inner
// dimension. With bf16 the factors of all products are rounded: queries (scaled), keys, values,
// probabilities, the output's gradient and the scores' gradient. Sums, softmax and what is saved
// are fp32.
#pragma once
#include <cstddef>
#include <cstdint>

namespace lockstep::ops {

constexpr std::int64_t kPanelKeys = 64;     // keys in a panel: what the scores' widest tile takes
constexpr std::int64_t kQueryBlock = 48;    // queries that share a key block while it is in L1
constexpr std::int64_t kKeyBlock = 128;     // keys between two rescalings of forward's output
constexpr std::int64_t kRowStatistics = 2;  // saved for each row: largest score, 1 / sum

// Plain data: functions here would be shared by files of different flags.
struct AttentionPass {
  std::int64_t tokens, heads, kv_heads, width;
  std::int64_t padded;    // width, rounded up to 16
  std::int64_t position;  // of token 0: keys [0, position) are in the stores already
  std::int64_t keys;      // capacity of a store, a multiple of kPanelKeys
  bool causal;
  float scale;
  const float* rotation;  // [position + token][width]: cosines of the pairs, sines; null: none

  bool drop;
  std::uint32_t counter[4];  // of the random block 0
  std::uint64_t key;
  std::uint32_t threshold;
  float keep_scale;
  std::int64_t first_element;  // of the sample's probabilities

  bool last;         // else another sample follows in memory, and is next
  const float* qkv;  // [tokens][(heads + 2 kv_heads) width]
  float* output;     // [tokens][heads width]
  float* saved;      // [heads][tokens][kRowStatistics]
  const float* d_output;
  float* d_qkv;

  float* stores;            // [kv_heads] or one for all in turn
  std::int64_t store_step;  // floats between the key heads' stores; 0: one for all in turn
  float* scratch;
};

struct AttentionKernels {
  void (*forward)(const AttentionPass& pass);
  void (*backward)(const AttentionPass& pass);
};

const AttentionKernels& attention_kernels(bool bf16);  // of the ISA in force

}  // namespace lockstep::ops
