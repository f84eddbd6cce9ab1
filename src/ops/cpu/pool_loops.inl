// Max and average pooling over 1 to 3 spatial dimensions, channels innermost and vectorised. Reads
// each input once per window that covers it (from cache), writes each output once.

namespace lockstep::ops {
namespace {

// The part of a window that lies inside the input, per dimension: [begin, end) of the input, and
// the place in the window of begin.
struct Span {
  std::int64_t begin, end, first;
};
LOCKSTEP_INLINE Span span_of(const PoolGeometry& g, int d, std::int64_t position) {
  const std::int64_t start = position * g.stride[d] - g.padding[d];
  const std::int64_t begin = start < 0 ? 0 : start, stop = start + g.kernel[d];
  return {begin, stop < g.in[d] ? stop : g.in[d], begin - start};
}

// Calls f(input element of channel 0, place in the window) for the places inside, in window order.
struct Window {
  const PoolGeometry& g;
  Span s[3];
  std::int64_t sample;  // input element of the sample's start
  std::int64_t places() const {
    return (s[0].end - s[0].begin) * (s[1].end - s[1].begin) * (s[2].end - s[2].begin);
  }
  template <class F>
  LOCKSTEP_INLINE void each(F f) const {
    for (std::int64_t d = s[0].begin; d < s[0].end; ++d) {
      for (std::int64_t h = s[1].begin; h < s[1].end; ++h) {
        const std::int64_t row = sample + ((d * g.in[1] + h) * g.in[2]) * g.channels;
        const std::int64_t place =
            ((d - s[0].begin + s[0].first) * g.kernel[1] + h - s[1].begin + s[1].first) *
                g.kernel[2] +
            s[2].first - s[2].begin;
        for (std::int64_t w = s[2].begin; w < s[2].end; ++w) f(row + w * g.channels, place + w);
      }
    }
  }
};

// Calls f(window, output element of channel 0) for every output position.
template <class F>
LOCKSTEP_INLINE void each_window(const PoolGeometry& g, F f) {
  const std::int64_t sample_elements = g.in[0] * g.in[1] * g.in[2] * g.channels;
  std::int64_t out = 0;
  for (std::int64_t n = 0; n < g.samples; ++n) {
    for (std::int64_t d = 0; d < g.out[0]; ++d) {
      for (std::int64_t h = 0; h < g.out[1]; ++h) {
        for (std::int64_t w = 0; w < g.out[2]; ++w, out += g.channels) {
          f(Window{g, {span_of(g, 0, d), span_of(g, 1, h), span_of(g, 2, w)}, n * sample_elements},
            out);
        }
      }
    }
  }
}

LOCKSTEP_INLINE void zero(const PoolGeometry& g, float* dx) {
  __builtin_memset(dx, 0, sizeof(float) * g.samples * g.in[0] * g.in[1] * g.in[2] * g.channels);
}

// Winners travel as floats in registers (exact below 2^24) and as T in memory.
LOCKSTEP_INLINE int lanes_in(Whole) { return 16; }
LOCKSTEP_INLINE int lanes_in(Part lanes) { return lanes.n; }
template <class T, class Lanes>
LOCKSTEP_INLINE void store_winners(T* to, V winners, Lanes lanes) {
  float places[16];
  store(places, winners);
  for (int i = 0; i < lanes_in(lanes); ++i) {
    to[i] = static_cast<T>(static_cast<std::int32_t>(places[i]));
  }
}
template <class T, class Lanes>
LOCKSTEP_INLINE V load_winners(const T* from, Lanes lanes) {
  float places[16] = {};
  for (int i = 0; i < lanes_in(lanes); ++i) {
    places[i] = static_cast<float>(static_cast<std::int32_t>(from[i]));
  }
  return load(places);
}
#if LOCKSTEP_SIMD == 512
template <class Lanes>
LOCKSTEP_INLINE void store_winners(std::uint8_t* to, V winners, Lanes lanes) {
  const __m128i places = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(winners.x));
  _mm_mask_storeu_epi8(to, static_cast<__mmask16>((1u << lanes_in(lanes)) - 1), places);
}
template <class Lanes>
LOCKSTEP_INLINE V load_winners(const std::uint8_t* from, Lanes lanes) {
  const auto mask = static_cast<__mmask16>((1u << lanes_in(lanes)) - 1);
  const __m512i places = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, from));
  return {_mm512_cvtepi32_ps(places)};
}
#endif

// Leaky relu's value and slope: v scaled where x is not above zero; NaN stays.
LOCKSTEP_INLINE V leaky(V v, V x, float slope) {
  return select(x <= splat(0.0f), v * splat(slope), v);
}

template <class T, bool keep>
void max_pool_pass(const PoolGeometry& g, const float* x, float* y, T* winners) {
  each_window(g, [=](const Window& window, std::int64_t out) {
    for_vectors(window.g.channels, [&](std::int64_t c, auto lanes) {
      V best = splat(-__builtin_inff()), winner = splat(-1.0f);
      window.each([&](std::int64_t at, std::int64_t place) {
        const V value = load(x + at + c, lanes), number = splat(static_cast<float>(place));
        // The first maximum stays; a NaN wins over all numbers and stays. The first place always
        // enters, even if it is -inf.
        const M stays = value <= best, is_number = best == best, none = winner < splat(0.0f);
        winner = select(none, number, select(is_number, select(stays, winner, number), winner));
        best = select(is_number, select(stays, best, value), best);
      });
      store(y + out + c, window.g.leaky ? leaky(best, best, window.g.slope) : best, lanes);
      if constexpr (keep) store_winners(winners + out + c, winner, lanes);
    });
  });
}

void max_pool_loop(const PoolGeometry& g, const float* x, float* y, void* winners) {
  if (winners == nullptr) {
    max_pool_pass<std::uint8_t, false>(g, x, y, nullptr);
  } else if (g.window <= 256) {
    max_pool_pass<std::uint8_t, true>(g, x, y, static_cast<std::uint8_t*>(winners));
  } else {
    max_pool_pass<std::uint32_t, true>(g, x, y, static_cast<std::uint32_t*>(winners));
  }
}

// Windows that do not overlap write their places; a masked load right after a masked store of its
// neighbours would wait for it.
LOCKSTEP_INLINE bool disjoint(const PoolGeometry& g) {
  return g.stride[0] >= g.kernel[0] && g.stride[1] >= g.kernel[1] && g.stride[2] >= g.kernel[2];
}
template <bool overlap, class Lanes>
LOCKSTEP_INLINE void give(float* dx, V share, Lanes lanes) {
  if constexpr (overlap) share += load(dx, lanes);
  store(dx, share, lanes);
}

template <class T, bool overlap>
void max_pool_backward_pass(const PoolGeometry& g, const float* dy, const float* y,
                            const T* winners, float* dx) {
  zero(g, dx);
  each_window(g, [=](const Window& window, std::int64_t out) {
    for_vectors(window.g.channels, [&](std::int64_t c, auto lanes) {
      V d = load(dy + out + c, lanes);
      if (window.g.leaky) d = leaky(d, load(y + out + c, lanes), window.g.slope);
      const V winner = load_winners(winners + out + c, lanes);
      window.each([&](std::int64_t at, std::int64_t place) {
        const V share = select(winner == splat(static_cast<float>(place)), d, splat(0.0f));
        give<overlap>(dx + at + c, share, lanes);
      });
    });
  });
}

template <class T>
void max_pool_backward_as(const PoolGeometry& g, const float* dy, const float* y, const T* winners,
                          float* dx) {
  if (disjoint(g)) {
    max_pool_backward_pass<T, false>(g, dy, y, winners, dx);
  } else {
    max_pool_backward_pass<T, true>(g, dy, y, winners, dx);
  }
}

void max_pool_backward_loop(const PoolGeometry& g, const float* dy, const float* y,
                            const void* winners, float* dx) {
  if (g.window <= 256) {
    max_pool_backward_as(g, dy, y, static_cast<const std::uint8_t*>(winners), dx);
  } else {
    max_pool_backward_as(g, dy, y, static_cast<const std::uint32_t*>(winners), dx);
  }
}

void average_pool_loop(const PoolGeometry& g, const float* x, float* y) {
  each_window(g, [=](const Window& window, std::int64_t out) {
    const V count = splat(static_cast<float>(window.places()));
    for_vectors(window.g.channels, [&](std::int64_t c, auto lanes) {
      V total = splat(0.0f);
      window.each([&](std::int64_t at, std::int64_t) { total += load(x + at + c, lanes); });
      store(y + out + c, total / count, lanes);
    });
  });
}

template <bool overlap>
void average_pool_backward_pass(const PoolGeometry& g, const float* dy, float* dx) {
  zero(g, dx);
  each_window(g, [=](const Window& window, std::int64_t out) {
    const V count = splat(static_cast<float>(window.places()));
    for_vectors(window.g.channels, [&](std::int64_t c, auto lanes) {
      const V share = load(dy + out + c, lanes) / count;
      window.each([&](std::int64_t at, std::int64_t) { give<overlap>(dx + at + c, share, lanes); });
    });
  });
}

void average_pool_backward_loop(const PoolGeometry& g, const float* dy, float* dx) {
  if (disjoint(g)) {
    average_pool_backward_pass<false>(g, dy, dx);
  } else {
    average_pool_backward_pass<true>(g, dy, dx);
  }
}

}  // namespace
}  // namespace lockstep::ops
