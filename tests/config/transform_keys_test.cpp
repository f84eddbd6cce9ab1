// The keys of [[data.fields]] that say what is done to samples.
#include <gtest/gtest.h>

#include "lockstep/config/run.h"
#include "lockstep/core/error.h"

namespace lockstep::config {
namespace {

using data::Normalise;
using data::Transform;

std::string field_with(const std::string& keys) {
  return "[data]\npath = \"a.h5\"\n[[data.fields]]\nname = \"x\"\npath = \"/x\"\n" + keys;
}

Transform read(const std::string& keys) {
  return parse_run(field_with(keys), "run.toml", {}).data.dataset.fields.at(0).transform;
}

std::string refusal(const std::string& keys) {
  try {
    read(keys);
  } catch (const UserError& error) {
    return error.what();
  }
  return {};
}

TEST(TransformKeys, are_read_and_read_back_from_the_resolved_print) {
  const std::string keys = R"(axes = [1, 2, 0]
crop = [24, 32]
crop_random = true
flip = 1
log1p = true
scale = 0.5
offset = -2
normalise = "channel"
)";
  const Transform wanted{.axes = {1, 2, 0},
                         .crop = {24, 32},
                         .crop_random = true,
                         .flip = {1},
                         .log1p = true,
                         .scale = 0.5,
                         .offset = -2,
                         .normalise = Normalise::kChannel};
  EXPECT_EQ(read(keys), wanted);
  const std::string resolved = resolved_toml(parse_run(field_with(keys), "run.toml", {}));
  EXPECT_EQ(parse_run(resolved, "resolved.toml", {}).data.dataset.fields.at(0).transform, wanted);
  EXPECT_EQ(read("one_hot = 4"), Transform{.one_hot = 4});
  EXPECT_EQ(read(""), Transform());
}

TEST(TransformKeys, of_wrong_values_are_refused_with_their_line) {
  for (const auto& [keys, part] : {std::pair{"axes = [0, 8]", "run.toml:6: axes"},
                                   {"flip = [-1]", "run.toml:6: flip"},
                                   {"crop = [0]", "run.toml:6: crop"},
                                   {"one_hot = -1", "run.toml:6: one_hot"},
                                   {"normalise = \"channels\"", "did you mean channel?"},
                                   {"crop_randomly = true", "crop_random"}})
    EXPECT_NE(refusal(keys).find(part), std::string::npos) << keys << ": " << refusal(keys);
}

TEST(TransformKeys, normalise_of_a_field_differs_from_that_of_all) {
  const train::Run run = parse_run(field_with(""), "run.toml", {"data.normalise=channel"});
  EXPECT_EQ(run.data.normalise, Normalise::kChannel);
  EXPECT_FALSE(run.data.dataset.fields.at(0).transform.normalise.has_value());
  EXPECT_EQ(read("normalise = \"none\"").normalise, Normalise::kNone);
}

}  // namespace
}  // namespace lockstep::config
