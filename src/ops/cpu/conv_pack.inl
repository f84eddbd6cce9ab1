// Between the flat weights and the kernels' layouts, by transposing tiles of 16 output channels x
// 16 taps: both sides are read and written in whole lines, because the weights of a wide layer lie
// far out in the caches. After conv_rows.inl.
namespace lockstep::ops {
namespace {

// Quarter j of a in quarter 0 of the j-th result, of b in quarter 1, of c in 2, of d in 3.
LOCKSTEP_INLINE void exchange_quarters(V& a, V& b, V& c, V& d) {
  const __m512 ab_low = _mm512_shuffle_f32x4(a.x, b.x, 0x44);   // a0 a1 b0 b1
  const __m512 ab_high = _mm512_shuffle_f32x4(a.x, b.x, 0xEE);  // a2 a3 b2 b3
  const __m512 cd_low = _mm512_shuffle_f32x4(c.x, d.x, 0x44);
  const __m512 cd_high = _mm512_shuffle_f32x4(c.x, d.x, 0xEE);
  a.x = _mm512_shuffle_f32x4(ab_low, cd_low, 0x88);
  b.x = _mm512_shuffle_f32x4(ab_low, cd_low, 0xDD);
  c.x = _mm512_shuffle_f32x4(ab_high, cd_high, 0x88);
  d.x = _mm512_shuffle_f32x4(ab_high, cd_high, 0xDD);
}

LOCKSTEP_INLINE void transpose16(V (&t)[16]) {
#pragma GCC unroll 4
  for (int g = 0; g < 16; g += 4) transpose4(t[g], t[g + 1], t[g + 2], t[g + 3]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) exchange_quarters(t[i], t[i + 4], t[i + 8], t[i + 12]);
}

// to[tap] = the tap's weights of `lanes` output channels, the other lanes +0.
// `ahead` floats on lies what the caller asks for soon: no prefetcher follows so many rows.
void gather_taps(V* to, const float* from, std::int64_t lane_stride, std::int64_t lanes,
                 std::int64_t taps, std::int64_t ahead) {
  for (std::int64_t first = 0; first < taps; first += 16) {
    const std::int64_t count = least(16, taps - first);
    const auto mask = static_cast<__mmask16>((1u << count) - 1);
    V tile[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      tile[i] = i < lanes ? V{_mm512_maskz_loadu_ps(mask, from + i * lane_stride + first)}
                          : splat(0.0f);
    }
    for (int i = 0; i < lanes; ++i) __builtin_prefetch(from + i * lane_stride + first + ahead);
    transpose16(tile);
    for (int i = 0; i < count; ++i) to[first + i] = tile[i];
  }
}

void pack_pass(const ConvPass& pass, const ConvFlatWeights& flat, const float* weights,
               float* packed) {
  const Packing packing(pass);
  const std::int64_t taps = flat.taps[0] * flat.taps[1] * flat.taps[2];
  const std::int64_t vectors = (pass.out_channels + 15) / 16;
  for (std::int64_t v = 0; v < vectors; ++v) {
    const std::int64_t begin = v / pass.vectors * pass.vectors;
    const std::int64_t n = least(pass.vectors, vectors - begin);
    const std::int64_t lanes = least(16, pass.out_channels - v * 16);
    float* const block = packed + pass.packed_begin + begin * packing.vector_floats();
    for (std::int64_t c = 0; c < pass.in_channels; ++c) {
      V word[Factor::kDepth][kConvMostTaps];
      for (std::int64_t j = 0; j < Factor::kDepth; ++j) {
        const std::int64_t channel = c * Factor::kDepth + j;
        gather_taps(word[j],
                    weights + v * 16 * flat.lane_stride +
                        least(channel, flat.channels - 1) * flat.channel_stride,
                    flat.lane_stride, channel < flat.channels ? lanes : 0, taps,
                    4 * flat.channel_stride);
      }
      for (std::int64_t kd = 0; kd < pass.kernel[0]; ++kd) {
        for (std::int64_t kh = 0; kh < pass.kernel[1]; ++kh) {
          float* to = block +
                      ((c / pass.chunk * pass.kernel[0] + kd) * pass.kernel[1] + kh) *
                          packing.row_floats(n) +
                      c % pass.chunk * pass.kernel[2] * n * 16 + (v - begin) * 16;
          const std::int64_t row = ((pass.tap_first[0] + kd * pass.tap_step[0]) * flat.taps[1] +
                                    pass.tap_first[1] + kh * pass.tap_step[1]) *
                                   flat.taps[2];
          for (std::int64_t kw = 0; kw < pass.kernel[2]; ++kw, to += n * 16) {
            const std::int64_t tap = row + pass.tap_first[2] + kw * pass.tap_step[2];
            store(to, Factor::word(word, tap));
          }
        }
      }
    }
  }
}

void unpack_gradient(const ConvGradient& g, const float* dw, float* flat) {
  const std::int64_t rows = g.kernel[0] * g.kernel[1], taps = rows * g.kernel[2];
  const std::int64_t vectors = (g.out_channels + 15) / 16;
  for (std::int64_t v = 0; v < vectors; ++v) {
    const std::int64_t begin = v / 2 * 2, n = least(2, vectors - begin);
    const std::int64_t lanes = least(16, g.out_channels - v * 16);
    const float* const block = dw + begin * 16 * taps * g.in_channels + (v - begin) * 16;
    for (std::int64_t c = 0; c < g.in_channels; ++c) {
      for (std::int64_t first = 0; first < taps; first += 16) {
        const std::int64_t count = least(16, taps - first);
        V tile[16];
        for (int i = 0; i < 16; ++i) {
          const std::int64_t tap = first + i;
          tile[i] = i < count ? load(block + ((tap / g.kernel[2] * g.in_channels + c) *
                                                  g.kernel[2] + tap % g.kernel[2]) * n * 16)
                              : splat(0.0f);
        }
        transpose16(tile);
        const auto mask = static_cast<__mmask16>((1u << count) - 1);
        for (int i = 0; i < lanes; ++i) {
          _mm512_mask_storeu_ps(flat + ((v * 16 + i) * g.in_channels + c) * taps + first, mask,
                                tile[i].x);
        }
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::ops
