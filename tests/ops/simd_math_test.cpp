// exp, log, tanh and sigmoid against libm in double, over every exponent, on every
// instruction set; and at the arguments where such functions break.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "ops/isas.h"
#include "ops/numbers.h"

namespace lockstep::ops {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kTiny = std::numeric_limits<float>::denorm_min();

struct Function {
  const char* name;
  Kernels::Map Kernels::*map;
  double (*exact)(double);
  double bound;  // ulp; measured here: 1.01, 0.79, 1.29, 2.20
};

const Function kFunctions[] = {
    {"exp", &Kernels::exp, std::exp, 1.1},
    {"log", &Kernels::log, std::log, 0.9},
    {"tanh", &Kernels::tanh, std::tanh, 1.4},
    {"sigmoid", &Kernels::sigmoid,
     [](double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); },
     2.3},
};

// Distance in units of the last place of the float nearest to exact.
double ulps(float got, double exact) {
  const float nearest = static_cast<float>(exact);
  if (std::isnan(exact)) return std::isnan(got) ? 0 : HUGE_VAL;
  if (std::isinf(nearest) || std::isinf(got)) return nearest == got ? 0 : HUGE_VAL;
  const double magnitude = std::fmax(std::fabs(nearest), double(std::numeric_limits<float>::min()));
  return std::fabs(got - exact) / std::ldexp(1.0, std::ilogb(magnitude) - 23);
}

// Every 4099th float of the whole line (a prime, so that all exponents and low bits occur), and a
// dense stretch where the functions bend.
std::vector<float> arguments() {
  std::vector<float> x;
  for (std::uint64_t i = 0; i < (std::uint64_t{1} << 32); i += 4099) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(i));
    if (!std::isnan(value)) x.push_back(value);
  }
  for (float value : uniform(200000, 1, -110, 110)) x.push_back(value);
  for (float value : uniform(200000, 2, -5, 5)) x.push_back(value);
  for (float value : uniform(100000, 3, 0.5, 2)) x.push_back(value);
  return x;
}

TEST(SimdMath, errors_are_within_their_bounds) {
  const auto x = arguments();
  std::vector<float> y(x.size());
  for (const Function& f : kFunctions) {
    std::vector<double> exact(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) exact[i] = f.exact(x[i]);
    on_every_isa([&](Isa isa) {
      (kernels().*f.map)(y.data(), x.data(), static_cast<std::int64_t>(x.size()));
      double worst = 0;
      float where = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double error = ulps(y[i], exact[i]);
        if (!(error <= worst)) worst = error, where = x[i];
      }
      const std::string label = std::string(f.name) + "_" + std::string(name_of(isa));
      RecordProperty(label, std::to_string(worst));
      EXPECT_TRUE(worst <= f.bound) << label << ": " << worst << " ulp at " << where;
    });
  }
}

TEST(SimdMath, special_arguments) {
  struct Case {
    Kernels::Map Kernels::*map;
    float x, y;
  };
  const Case cases[] = {
      {&Kernels::exp, 0, 1},
      {&Kernels::exp, kInfinity, kInfinity},
      {&Kernels::exp, -kInfinity, 0},
      {&Kernels::exp, 1e30f, kInfinity},
      {&Kernels::exp, -1e30f, 0},
      {&Kernels::exp, 88.7229f, kInfinity},
      {&Kernels::log, 1, 0},
      {&Kernels::log, 0, -kInfinity},
      {&Kernels::log, -0.0f, -kInfinity},
      {&Kernels::log, kInfinity, kInfinity},
      {&Kernels::log, kTiny, -103.278929903f},
      {&Kernels::tanh, kInfinity, 1},
      {&Kernels::tanh, -kInfinity, -1},
      {&Kernels::tanh, 1e30f, 1},
      {&Kernels::tanh, kTiny, kTiny},
      {&Kernels::tanh, -kTiny, -kTiny},
      {&Kernels::sigmoid, 0, 0.5f},
      {&Kernels::sigmoid, kInfinity, 1},
      {&Kernels::sigmoid, -kInfinity, 0},
  };
  on_every_isa([&](Isa) {
    for (const Case& c : cases) {
      float y;
      (kernels().*c.map)(&y, &c.x, 1);
      EXPECT_EQ(y, c.y) << &c - cases << ": " << c.x;
    }
    for (const Function& f : kFunctions) {
      const float x = NAN;
      float y = 0;
      (kernels().*f.map)(&y, &x, 1);
      EXPECT_TRUE(std::isnan(y)) << f.name;
    }
    for (float x : {-1.0f, -kTiny, -kInfinity}) {
      float y = 0;
      kernels().log(&y, &x, 1);
      EXPECT_TRUE(std::isnan(y)) << x;
    }
    const float x = -0.0f;
    float y = 1;
    kernels().tanh(&y, &x, 1);
    EXPECT_TRUE(y == 0 && std::signbit(y));
  });
}

TEST(SimdMath, tail_equals_body) {
  const auto x = uniform(16, 4, -6, 6);
  on_every_isa([&](Isa) {
    for (const Function& f : kFunctions) {
      float body[16];
      (kernels().*f.map)(body, x.data(), 16);
      for (int begin = 0; begin < 16; ++begin) {
        for (int n = 1; begin + n <= 16; ++n) {
          float tail[17] = {};
          (kernels().*f.map)(tail, x.data() + begin, n);
          for (int i = 0; i < n; ++i) {
            ASSERT_EQ(std::bit_cast<std::uint32_t>(tail[i]),
                      std::bit_cast<std::uint32_t>(body[begin + i]))
                << f.name;
          }
          ASSERT_EQ(tail[n], 0.0f);
        }
      }
    }
  });
}

TEST(SimdMath, avx2_and_avx512_give_the_same_bits) {
  if (detected_isa() != Isa::kAvx512) return;  // one of the two is all there is to compare
  const auto x = arguments();
  for (const Function& f : kFunctions) {
    std::vector<float> narrow(x.size()), wide(x.size());
    (kernels(Isa::kAvx2).*f.map)(narrow.data(), x.data(), static_cast<std::int64_t>(x.size()));
    (kernels(Isa::kAvx512).*f.map)(wide.data(), x.data(), static_cast<std::int64_t>(x.size()));
    std::size_t different = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      different +=
          std::bit_cast<std::uint32_t>(narrow[i]) != std::bit_cast<std::uint32_t>(wide[i]) &&
          !(std::isnan(narrow[i]) && std::isnan(wide[i]));
    }
    EXPECT_EQ(different, 0u) << f.name;
  }
}

}  // namespace
}  // namespace lockstep::ops
