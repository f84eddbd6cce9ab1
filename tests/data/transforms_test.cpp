// Transforms of a sample against numpy's, with numpy's own Philox; and what chance decides.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/conversion.h"
#include "data/draw.h"
#include "files.h"
#include "lockstep/data/transform.h"

namespace lockstep::data {
namespace {

using testing::contains_all;
using testing::file_bytes;
using testing::refusal;

const testing::fs::path& cases_folder() {
  static const testing::TemporaryFolder folder;
  static const bool made = [] {
    const std::string command =
        fmt::format("/usr/bin/python3 {} {}", LOCKSTEP_MAKE_TRANSFORMS, folder.path().string());
    return std::system(command.c_str()) == 0;
  }();
  EXPECT_TRUE(made);
  return folder.path();
}

Transform transform_from(const nlohmann::json& j) {
  Transform t;
  t.axes = j.value("axes", t.axes);
  t.crop = j.value("crop", t.crop);
  t.crop_random = j.value("crop_random", false);
  t.flip = j.value("flip", t.flip);
  t.log1p = j.value("log1p", false);
  t.scale = j.value("scale", 1.0);
  t.offset = j.value("offset", 0.0);
  t.one_hot = j.value("one_hot", std::int64_t{0});
  return t;
}

Shape shape_from(const nlohmann::json& j) {
  return Shape(std::span<const std::int64_t>(j.get<std::vector<std::int64_t>>()));
}

// Units in the last place between two numbers of one sign.
std::int64_t distance(float a, float b) {
  if (a == b) return 0;
  return std::abs(std::int64_t{std::bit_cast<std::int32_t>(a)} - std::bit_cast<std::int32_t>(b));
}

TEST(Transforms, are_what_numpy_makes_of_the_same_samples) {
  const auto& folder = cases_folder();
  const auto cases = nlohmann::json::parse(std::ifstream(folder / "cases.json"));
  ASSERT_GT(cases.size(), 150U);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto& c = cases[i];
    SCOPED_TRACE(c.dump());
    Field field;
    field.name = "x";
    field.dtype = dtype_from(c["dtype"].get<std::string>());
    field.sample = shape_from(c["sample"]);
    field.transform = transform_from(c["transform"]);
    ASSERT_EQ(field.seen(), shape_from(c["seen"]));
    const Transform& t = field.transform;
    const Conversion conversion(
        field, {t.log1p, t.scale != 1 || t.offset != 0, static_cast<float>(t.scale),
                static_cast<float>(t.offset), c["shift"].get<std::vector<float>>(),
                c["factor"].get<std::vector<float>>()});
    Draw draw;
    if (!c["draw"].empty()) draw = {c["draw"][0], c["draw"][1], c["draw"][2], c["draw"][3]};
    const auto count = c["count"].get<std::int64_t>();
    const auto stored = file_bytes(folder / fmt::format("{}.stored", i));
    const auto expected = file_bytes(folder / fmt::format("{}.seen", i));
    ASSERT_EQ(expected.size(), static_cast<std::size_t>(count * conversion.elements()) * 4);
    std::vector<float> out(expected.size() / 4, std::numeric_limits<float>::quiet_NaN());
    std::vector<float> wanted(out.size());
    std::memcpy(wanted.data(), expected.data(), expected.size());
    conversion.to_floats(stored.data(), count, draw, out.data());
    for (std::size_t k = 0; k < out.size(); ++k)
      ASSERT_LE(distance(out[k], wanted[k]), t.log1p ? 1 : 0) << out[k] << " " << wanted[k];
    if (is_float(field.dtype) || t.log1p || t.scale != 1 || t.one_hot > 0 || !c["shift"].empty() ||
        field.dtype == DType::kU32 || size_of(field.dtype) == 8)
      continue;
    std::vector<std::int32_t> labels(out.size());
    conversion.to_labels(stored.data(), count, draw, labels.data());
    for (std::size_t k = 0; k < labels.size(); ++k)
      ASSERT_EQ(static_cast<float>(labels[k]), wanted[k]);
  }
}

TEST(Transforms, log1p_is_right_to_one_unit_in_the_last_place) {
  const auto check = [](float x) {
    const auto wanted = static_cast<float>(std::log1p(static_cast<double>(x)));
    EXPECT_LE(distance(log_1_plus(x), wanted), 1) << x;
  };
  for (std::uint32_t bits = 0; bits < 0x7F800000; bits += 99991) {
    check(std::bit_cast<float>(bits));
    const float negative = -std::bit_cast<float>(bits);
    if (negative > -1) check(negative);
  }
  for (const float x : {-0.5F, -0.2928932F, 0.4142135F, 0.41421357F, 1.0F, -0x1.FFFFFEp-1F})
    check(x);
  for (const float x :
       {-1.0F, -1.5F, -std::numeric_limits<float>::max(), std::numeric_limits<float>::quiet_NaN(),
        std::numeric_limits<float>::infinity()})
    EXPECT_TRUE(std::isnan(log_1_plus(x))) << x;
}

TEST(Transforms, mirror_half_of_the_samples_and_cut_each_place_equally_often) {
  constexpr int kSamples = 20000, kWhole = 13, kPart = 4, kPlaces = kWhole - kPart + 1;
  std::array<int, kPlaces> begins{};
  int mirrored = 0, both = 0;
  for (int i = 0; i < kSamples; ++i) {
    const Draw draw{3, 1 + i / 5000, i % 8, i};
    ++begins[static_cast<std::size_t>(draw.choose(0).begin(kWhole, kPart))];
    const bool first = draw.choose(0).is_mirrored(), second = draw.choose(1).is_mirrored();
    mirrored += first;
    both += first && second;
  }
  // Five deviations of a binomial.
  const auto expect_share = [](int found, double p) {
    EXPECT_NEAR(found, kSamples * p, 5 * std::sqrt(kSamples * p * (1 - p)));
  };
  expect_share(mirrored, 0.5);
  expect_share(both, 0.25);
  for (const int begin : begins) expect_share(begin, 1.0 / kPlaces);
}

TEST(Transforms, that_do_not_fit_are_refused_with_the_field_and_its_shape) {
  const auto said = [](const Transform& t, DType dtype = DType::kF32,
                       Normalise normalise = Normalise::kNone) {
    Field field;
    field.name = "mask";
    field.dtype = dtype;
    field.sample = {3, 5, 7};
    field.transform = t;
    return refusal([&] { check_transform(field, normalise); });
  };
  EXPECT_EQ(said({.axes = {2, 0, 1}, .crop = {7, 1}, .flip = {2}}), "");
  for (const auto& axes : {std::vector{0, 1}, {0, 1, 1}, {1, 2, 3}, {-1, 0, 1}, {0, 1, 2, 3}})
    EXPECT_TRUE(contains_all(said({.axes = axes}), {"UserError", "axes", "'mask'", "3x5x7"}));
  EXPECT_TRUE(contains_all(said({.crop = {4}}), {"crop = [4]", "'mask'", "3x5x7"}));
  EXPECT_TRUE(contains_all(said({.axes = {2, 1, 0}, .crop = {7, 6}}), {"crop", "7x5x3"}));
  EXPECT_TRUE(contains_all(said({.crop = {1, 1, 1, 1}}), {"crop = [1, 1, 1, 1]"}));
  EXPECT_TRUE(contains_all(said({.crop = {2, 0}}), {"crop = [2, 0]"}));
  EXPECT_TRUE(contains_all(said({.flip = {-1}}), {"flip = [-1]"}));
  EXPECT_TRUE(contains_all(said({.crop_random = true}), {"crop_random", "'mask'"}));
  EXPECT_TRUE(contains_all(said({.flip = {3}}), {"flip = [3]", "from 0 to 2"}));
  EXPECT_TRUE(contains_all(said({.flip = {1, 1}}), {"flip = [1, 1]"}));
  EXPECT_TRUE(contains_all(said({.one_hot = 4}), {"one_hot", "integers", "f32"}));
  EXPECT_EQ(said({.one_hot = 4}, DType::kU8), "");
  EXPECT_TRUE(contains_all(said({.log1p = true, .one_hot = 4}, DType::kU8), {"one_hot", "log1p"}));
  const auto channel = Normalise::kChannel;
  EXPECT_EQ(said({.crop = {2, 2, 7}, .flip = {0, 1}}, DType::kU8, channel), "");
  EXPECT_TRUE(contains_all(said({.crop = {2, 2, 6}}, DType::kU8, channel), {"channel", "last"}));
  EXPECT_TRUE(contains_all(said({.flip = {2}}, DType::kU8, channel), {"channel", "last"}));
}

}  // namespace
}  // namespace lockstep::data
