// fp32 activations to words of two bf16 numbers (nearest, even). One pass over memory each.
namespace lockstep::ops {
namespace {

LOCKSTEP_INLINE __m512i half_words(V a) {
  return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a.x)));
}

// The low halves of the result are `first`, the high ones `second`.
LOCKSTEP_INLINE V pair_words(V first, V second) {
  const __m512i high = _mm512_slli_epi32(half_words(second), 16);
  return {_mm512_castsi512_ps(_mm512_or_si512(half_words(first), high))};
}

// Words of neighbours: the memory order of bf16 numbers. to: (n + 1) / 2 words.
LOCKSTEP_INLINE void neighbour_words(float* to, const float* from, std::int64_t n) {
  for_vectors(n, [&](std::int64_t i, auto lanes) {
    const auto half = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(load(from + i, lanes).x));
    const std::int64_t left = (n - i + 1) / 2;
    const auto mask = static_cast<__mmask8>(left >= 8 ? 0xFF : (1u << left) - 1);
    _mm256_mask_storeu_epi32(to + i / 2, mask, half);
  });
}

void channel_words_loop(float* words, const float* x, std::int64_t positions,
                        std::int64_t channels) {
  if (channels % 2 == 0) return neighbour_words(words, x, positions * channels);
  for (std::int64_t p = 0; p < positions; ++p) {
    neighbour_words(words + p * ((channels + 1) / 2), x + p * channels, channels);
  }
}

void input_pairs_loop(const ConvGradient& g, float* words, const float* x, std::int64_t rows) {
  const std::int64_t n = g.in_channels;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t q = 0; q < g.in[2]; q += 2, words += n, x += 2 * n) {
      const bool whole = q + 1 < g.in[2];
      for_vectors(n, [&](std::int64_t c, auto lanes) {
        const V second = whole ? load(x + n + c, lanes) : splat(0.0f);
        store(words + c, pair_words(load(x + c, lanes), second), lanes);
      });
    }
    if (g.in[2] % 2 != 0) x -= n;
  }
}

void gradient_pairs_loop(const ConvGradient& g, const ConvSet& set, float* words,
                         const float* dy) {
  const std::int64_t n = g.out_channels, begin = g.padding[2] + 1 - g.kernel[2];
  for (std::int64_t s = 0; s < set.samples; ++s) {
    for (std::int64_t d = set.plane; d < set.plane + set.planes; ++d) {
      for (std::int64_t h = set.row; h < set.row + set.rows; ++h) {
        const float* const row = dy + ((s * g.out[0] + d) * g.out[1] + h) * g.out[2] * n;
        for_vectors(n, [&](std::int64_t c, auto lanes) {
          const auto at = [&](std::int64_t o) {
            return half_words(o >= 0 && o < g.out[2] ? load(row + o * n + c, lanes) : splat(0.0f));
          };
          __m512i low = at(begin);
          for (std::int64_t i = 0; i < g.pair_words; ++i) {
            const __m512i high = at(begin + i + 1);
            const __m512i word = _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
            store(words + i * n + c, V{_mm512_castsi512_ps(word)}, lanes);
            low = high;
          }
        });
        words += g.pair_words * n;
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::ops
