// The loops of lockstep/ops/vector.h against double, on every instruction set.
#include "lockstep/ops/vector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "ops/isas.h"
#include "ops/numbers.h"

namespace lockstep::ops {
namespace {

TEST(Vector, adds_as_float_does) {
  on_every_isa([](Isa) {
    for (std::int64_t n : kEdgeSizes) {
      const auto a = uniform(n, 1), b = uniform(n, 2);
      std::vector<float> dst(n + 1, 7.0f);
      add(dst.data(), a.data(), b.data(), n);
      for (std::int64_t i = 0; i < n; ++i) ASSERT_EQ(dst[i], a[i] + b[i]) << i << " of " << n;
      EXPECT_EQ(dst[n], 7.0f) << "wrote past the end of " << n;
      auto in_place = a;
      add(in_place.data(), in_place.data(), b.data(), n);
      EXPECT_TRUE(std::equal(in_place.begin(), in_place.end(), dst.begin()));
    }
  });
}

TEST(Vector, sum_of_squares_is_the_same_16_sums_on_every_isa) {
  for (std::int64_t n : kEdgeSizes) {
    const auto x = uniform(n, 3, -1e15, 1e15);
    double lanes[16] = {};
    for (std::int64_t i = 0; i < n; ++i) lanes[i % 16] += double(x[i]) * x[i];
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    }
    on_every_isa([&](Isa) { EXPECT_EQ(sum_of_squares(x.data(), n), lanes[0]) << n; });
  }
}

TEST(Vector, sum_of_squares_is_finite_where_all_elements_are) {
  on_every_isa([](Isa) {
    std::vector<float> x(1023, std::numeric_limits<float>::max());
    EXPECT_TRUE(std::isfinite(sum_of_squares(x.data(), 1023)));
    for (int bad : {0, 511, 1022}) {
      for (float value : {HUGE_VALF, -HUGE_VALF, NAN}) {
        auto y = x;
        y[bad] = value;
        EXPECT_FALSE(std::isfinite(sum_of_squares(y.data(), 1023))) << bad << " " << value;
      }
    }
  });
}

// The nearest of the neighbours with an even last bit where both are as near, found in double.
float nearest_bf16(float x) {
  int exponent = 0;
  const double fraction = std::frexp(static_cast<double>(x), &exponent);
  const int precision = std::max(exponent, -125) - 8;  // the last bit's weight; bf16 has denormals
  const double unit = std::ldexp(1.0, precision);
  return static_cast<float>(std::nearbyint(std::ldexp(fraction, exponent) / unit) * unit);
}

TEST(Vector, rounds_to_the_nearest_bf16_and_ties_to_even_on_every_isa) {
  std::vector<float> x;
  for (std::uint32_t upper = 0; upper < 0x7f80; upper += 7) {
    for (std::uint32_t lower : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      for (std::uint32_t sign : {0u, 1u})
        x.push_back(std::bit_cast<float>(sign << 31 | upper << 16 | lower));
    }
  }
  on_every_isa([&](Isa) {
    std::vector<float> y(x.size() + 1, 7.0f);
    round_to_bf16(y.data(), x.data(), static_cast<std::int64_t>(x.size()));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const float expected = nearest_bf16(x[i]);
      ASSERT_EQ(std::bit_cast<std::uint32_t>(y[i]), std::bit_cast<std::uint32_t>(expected))
          << x[i] << ": " << y[i] << " instead of " << expected;
    }
    EXPECT_EQ(y.back(), 7.0f);
    auto in_place = x;
    round_to_bf16(in_place.data(), in_place.data(), static_cast<std::int64_t>(x.size()));
    EXPECT_TRUE(std::equal(in_place.begin(), in_place.end(), y.begin()));
  });
}

TEST(Vector, rounds_to_bf16_keeping_infinities_and_nans) {
  on_every_isa([](Isa) {
    const std::vector<std::uint32_t> words{0x7f800000, 0xff800000, 0x7f7fffff, 0x7f800001,
                                           0xff80ffff, 0x7fc00000, 0x7fffffff, 0xffffffff};
    std::vector<float> x(words.size());
    std::memcpy(x.data(), words.data(), 4 * words.size());
    round_to_bf16(x.data(), x.data(), static_cast<std::int64_t>(x.size()));
    EXPECT_EQ(x[0], HUGE_VALF);
    EXPECT_EQ(x[1], -HUGE_VALF);
    EXPECT_EQ(x[2], HUGE_VALF);  // beyond the largest bf16 by more than half
    for (std::size_t i = 3; i < x.size(); ++i) {
      EXPECT_TRUE(std::isnan(x[i])) << i;
      EXPECT_EQ(std::signbit(x[i]), words[i] >> 31 != 0) << i;
      EXPECT_EQ(std::bit_cast<std::uint32_t>(x[i]) & 0xffff, 0u) << i;
    }
  });
}

TEST(Vector, scales_and_adds_multiples) {
  on_every_isa([](Isa) {
    for (std::int64_t n : kEdgeSizes) {
      auto x = uniform(n, 4), p = uniform(n, 5);
      const auto x0 = x, p0 = p;
      axpy(p.data(), x.data(), 0.3f, n);
      scale(x.data(), 0.3f, n);
      for (std::int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(x[i], x0[i] * 0.3f);
        ASSERT_NEAR(p[i], p0[i] + double(0.3f) * x0[i], 2e-7);
      }
    }
  });
}

// PyTorch's formulas in double.
struct Reference {
  std::vector<double> p, m, v;
  void sgd(const std::vector<float>& g, const SgdStep& s) {
    for (std::size_t i = 0; i < p.size(); ++i) {
      double d = double(g[i]) * s.g_scale + s.decay * p[i];
      if (s.momentum != 0) {
        m[i] = s.first ? d : double(s.momentum) * m[i] + d;
        d = s.nesterov ? d + s.momentum * m[i] : m[i];
      }
      p[i] -= s.lr * d;
    }
  }
  std::vector<double> adam(const std::vector<float>& g, const AdamStep& s, bool lamb) {
    std::vector<double> update(p.size());
    for (std::size_t i = 0; i < p.size(); ++i) {
      const double d = double(g[i]) * s.g_scale + (s.decoupled ? 0 : s.decay * p[i]);
      m[i] = s.beta1 * m[i] + (1 - s.beta1) * d;
      v[i] = s.beta2 * v[i] + (1 - s.beta2) * d * d;
      const double direction = m[i] / s.c1 / (std::sqrt(v[i] / s.c2) + s.epsilon);
      update[i] = direction + (s.decoupled ? s.decay * p[i] : 0);
      if (!lamb) p[i] -= s.lr * update[i];
    }
    return update;
  }
};

Reference reference(const std::vector<float>& p) {
  return {{p.begin(), p.end()}, std::vector<double>(p.size()), std::vector<double>(p.size())};
}

TEST(Vector, sgd_follows_pytorch) {
  for (const bool nesterov : {false, true}) {
    for (const float momentum : {0.0f, 0.9f}) {
      on_every_isa([&](Isa) {
        for (std::int64_t n : kEdgeSizes) {
          auto p = uniform(n, 6);
          std::vector<float> buffer(n, NAN);  // not read on the first step
          Reference expected = reference(p);
          for (int t = 0; t < 4; ++t) {
            const auto g = uniform(n, 10 + t, -64, 64);
            const SgdStep s{0.1f, momentum, 0.01f, 1 / 64.0f, nesterov, t == 0};
            sgd(p.data(), momentum == 0 ? nullptr : buffer.data(), g.data(), n, s);
            expected.sgd(g, s);
          }
          for (std::int64_t i = 0; i < n; ++i) ASSERT_NEAR(p[i], expected.p[i], 1e-6) << i;
        }
      });
    }
  }
}

AdamStep adam_step(int t, bool decoupled) {
  return {.lr = 1e-2,
          .beta1 = 0.9,
          .beta2 = 0.999,
          .epsilon = 1e-8,
          .decay = 0.1,
          .g_scale = 1 / 64.0,
          .c1 = 1 - std::pow(0.9, t),
          .c2 = 1 - std::pow(0.999, t),
          .decoupled = decoupled};
}

TEST(Vector, adam_follows_pytorch) {
  for (const bool decoupled : {false, true}) {
    on_every_isa([&](Isa) {
      for (std::int64_t n : kEdgeSizes) {
        auto p = uniform(n, 7);
        std::vector<float> m(n), v(n);
        Reference expected = reference(p);
        for (int t = 1; t <= 5; ++t) {
          const auto g = uniform(n, 20 + t, -64, 64);
          adam(p.data(), m.data(), v.data(), g.data(), n, adam_step(t, decoupled));
          expected.adam(g, adam_step(t, decoupled), false);
        }
        for (std::int64_t i = 0; i < n; ++i) {
          ASSERT_NEAR(p[i], expected.p[i], 5e-7) << i << " of " << n;
          ASSERT_NEAR(m[i], expected.m[i], 3e-7);
          ASSERT_NEAR(v[i], expected.v[i], 3e-7 * expected.v[i]);
        }
      }
    });
  }
}

TEST(Vector, lamb_direction_is_the_adamw_direction_and_decay) {
  on_every_isa([](Isa) {
    for (std::int64_t n : kEdgeSizes) {
      const auto p = uniform(n, 8);
      std::vector<float> m(n), v(n), update(n);
      Reference expected = reference(p);
      std::vector<double> expected_update;
      for (int t = 1; t <= 5; ++t) {
        const auto g = uniform(n, 30 + t, -64, 64);
        lamb_direction(update.data(), p.data(), m.data(), v.data(), g.data(), n,
                       adam_step(t, true));
        expected_update = expected.adam(g, adam_step(t, true), true);
      }
      for (std::int64_t i = 0; i < n; ++i) ASSERT_NEAR(update[i], expected_update[i], 3e-6) << i;
    }
  });
}

// A split of the vector at any place where blocks may end gives the same bits.
TEST(Vector, tail_equals_body) {
  on_every_isa([](Isa) {
    const std::int64_t n = 32;
    const auto p0 = uniform(n, 9), g = uniform(n, 40);
    auto p = p0;
    std::vector<float> m(n), v(n);
    adam(p.data(), m.data(), v.data(), g.data(), n, adam_step(1, true));
    for (std::int64_t begin = 0; begin < 16; ++begin) {
      for (std::int64_t end = begin + 1; end <= 16; ++end) {
        auto q = p0;
        std::vector<float> mq(n), vq(n);
        adam(q.data() + begin, mq.data() + begin, vq.data() + begin, g.data() + begin, end - begin,
             adam_step(1, true));
        for (std::int64_t i = 0; i < n; ++i) {
          ASSERT_EQ(q[i], i >= begin && i < end ? p[i] : p0[i]) << begin << " " << end;
        }
      }
    }
  });
}

TEST(Vector, avx2_and_avx512_give_the_same_bits) {
  if (detected_isa() != Isa::kAvx512) return;  // one of the two is all there is to compare
  const std::int64_t n = 1023;
  const auto p0 = uniform(n, 11), g = uniform(n, 12);
  std::vector<float> result[2];
  for (const bool wide : {false, true}) {
    const UseIsa use(wide ? Isa::kAvx512 : Isa::kAvx2);
    auto p = p0;
    std::vector<float> m(n), v(n);
    for (int t = 1; t < 4; ++t) {
      adam(p.data(), m.data(), v.data(), g.data(), n, adam_step(t, true));
    }
    result[wide] = p;
  }
  EXPECT_EQ(result[0], result[1]);
}

}  // namespace
}  // namespace lockstep::ops
