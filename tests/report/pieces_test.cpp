// The pieces of a page one by one: texts, numbers, axes, thinning, what run files differ in.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/html.h"
#include "report/numbers.h"
#include "report/run_text.h"
#include "report/thinning.h"

namespace lockstep::report {
namespace {

TEST(Html, makes_texts_of_markup) {
  EXPECT_EQ(text("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
  EXPECT_EQ(text(std::string("a\0b\x1b", 4)), "a b ");
}

TEST(Numbers, have_si_prefixes) {
  const Unit seconds{"s", Prefixes::kTime}, bytes{"B", Prefixes::kBinary},
      rate{"samples/s", Prefixes::kSi};
  EXPECT_EQ(with_unit(0.0123, seconds), "12.3 ms");
  EXPECT_EQ(with_unit(4.5e-6, seconds), "4.5 µs");
  EXPECT_EQ(with_unit(90, seconds), "90 s");
  EXPECT_EQ(with_unit(7200, seconds), "120 min");
  EXPECT_EQ(with_unit(200.0 * 1024 * 1024, bytes), "200 MiB");
  EXPECT_EQ(with_unit(12345, rate), "12.3 k samples/s");
  EXPECT_EQ(with_unit(1e-3, Unit{}), "0.001");
  EXPECT_EQ(with_unit(std::nan(""), rate), "–");
  EXPECT_EQ(count(9999), "9999");
  EXPECT_EQ(count(1.5e6), "1.5M");
}

TEST(Axis, surrounds_its_values_with_round_ticks) {
  const double ranges[][2] = {{0, 1}, {0.2, 0.7},     {-3, 12},     {1e-9, 4e-9}, {5, 5},
                              {0, 0}, {1e12, 1.3e12}, {0.01, 2000}, {-1e-3, 0},   {7, 8}};
  for (const auto& [low, high] : ranges) {
    for (const Scale scale : {Scale::kLinear, Scale::kLog, Scale::kDoubling}) {
      const Axis axis = make_axis(low, high, scale, 5);
      EXPECT_LE(axis.low, low + 1e-12 * std::abs(low));
      EXPECT_GE(axis.high, high - 1e-12 * std::abs(high));
      ASSERT_GE(axis.ticks.size(), 2U) << low << " " << high;
      EXPECT_LE(axis.ticks.size(), 12U) << low << " " << high;
      for (const double tick : axis.ticks) {
        EXPECT_GE(axis.place(tick), -1e-9);
        EXPECT_LE(axis.place(tick), 1 + 1e-9);
      }
    }
  }
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(make_axis(inf, -inf, Scale::kLinear, 5).high, 1);  // of no values
}

TEST(Thinning, keeps_ends_and_extremes_of_all_curves) {
  constexpr std::size_t kPlaces = 10000, kMost = 100;
  std::vector<std::vector<double>> columns(2, std::vector<double>(kPlaces));
  for (std::size_t i = 0; i < kPlaces; ++i) {
    columns[0][i] = std::sin(static_cast<double>(i));
    columns[1][i] = i % 7 == 0 ? static_cast<double>(i) : std::nan("");
  }
  columns[0][4321] = 50;
  columns[0][1234] = -50;
  const auto kept = kept_places(columns, kPlaces, kMost);
  EXPECT_LE(kept.size(), kMost);
  EXPECT_TRUE(std::ranges::is_sorted(kept));
  for (const std::size_t place :
       {std::size_t{0}, std::size_t{4321}, std::size_t{1234}, kPlaces - 1})
    EXPECT_NE(std::ranges::find(kept, place), kept.end()) << place;
  EXPECT_EQ(kept_places(columns, kMost, kMost).size(), kMost);
}

TEST(RunText, tells_what_runs_differ_in) {
  const std::string one =
      "[train]\nbatch = 8\nlr = 1\n\n[[model.layers]]\nkind = \"a\"\n\n[[model.layers]]\n"
      "kind = \"b\"\n";
  std::string other = one;
  other.replace(other.find("= 8"), 3, "= 9");
  other.replace(other.find("\"b\""), 3, "\"c\"");
  const auto rows = differences({one, other, one});
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].first, "train.batch");
  EXPECT_EQ(rows[0].second, (std::vector<std::string>{"8", "9", "8"}));
  EXPECT_EQ(rows[1].first, "model.layers 2, kind");
  EXPECT_TRUE(differences({one, one}).empty());
}

}  // namespace
}  // namespace lockstep::report
