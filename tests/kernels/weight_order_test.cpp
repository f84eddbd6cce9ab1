#include "kernels/weight_order.h"

#include "kernels/oracle.h"

namespace lockstep::kernels {
namespace {

struct Size {
  std::int64_t n, rows, columns;
};
const auto kSizes =
    shapes_to_try<Size>({{1, 1, 1}, {7, 3, 9}, {2, 33, 31}, {3, 9, 64}, {4099, 1, 2}, {1, 65, 1}},
                        {{7, 3, 9}, {2, 33, 31}});

template <class To, class From>
void check() {
  for (const Size& s : kSizes) {
    const std::vector<From> from = of_type<From>(uniform(s.n * s.rows * s.columns, 1));
    const Floats values = to_floats(from);
    Floats expected(from.size());
    for (std::int64_t i = 0; i < s.n; ++i)
      for (std::int64_t r = 0; r < s.rows; ++r)
        for (std::int64_t c = 0; c < s.columns; ++c)
          expected[(i * s.columns + c) * s.rows + r] = values[(i * s.rows + r) * s.columns + c];
    const std::vector<To> rounded = of_type<To>(expected);
    const DeviceArray<From> source(from);
    const DeviceArray<To> tuned(from.size()), naive(from.size());
    transpose_each(tuned.data(), source.data(), s.n, s.rows, s.columns, nullptr);
    transpose_each_reference(naive.data(), source.data(), s.n, s.rows, s.columns, nullptr);
    EXPECT_EQ(to_floats(tuned.host()), to_floats(rounded)) << s.rows << " x " << s.columns;
    EXPECT_EQ(to_floats(naive.host()), to_floats(rounded)) << s.rows << " x " << s.columns;
  }
}

TEST(WeightOrder, transposes_each_matrix) {
  check<float, float>();
  check<__nv_bfloat16, float>();
  check<float, __nv_bfloat16>();
}

}  // namespace
}  // namespace lockstep::kernels
