// [[data.fields]] and [[data.splits]]: what a run file says of other people's files.
#include <gtest/gtest.h>

#include "config/options.h"
#include "lockstep/config/run.h"
#include "lockstep/core/error.h"

namespace lockstep::config {
namespace {

constexpr const char* kCosmo = R"([data]
path = ["a/*.h5", "b.h5"]
split_seed = 7
follow = "none"
[[data.fields]]
block = [128, 128, 128]
layout = "blocks"
name = "full"
path = "/full"
role = "input"
unit = "1"
[[data.fields]]
name = "unitPar"
path = "/unitPar"
layout = "sample"
[[data.splits]]
name = "train"
files = "a/*.h5"
[[data.splits]]
name = "val"
fraction = 0.25
[[data.splits]]
name = "test"
group = "held out"
)";

TEST(DataLists, are_read) {
  const data::Description d = parse_run(kCosmo, "run.toml", {}).data.dataset;
  EXPECT_EQ(d.path, (std::vector<std::string>{"a/*.h5", "b.h5"}));
  EXPECT_EQ(d.split_seed, 7U);
  EXPECT_EQ(d.follow, data::Follow::kNone);
  ASSERT_EQ(d.fields.size(), 2U);
  EXPECT_EQ(d.fields[0].name, "full");
  EXPECT_EQ(d.fields[0].layout, data::Layout::kBlocks);
  EXPECT_EQ(d.fields[0].block, (std::vector<std::int64_t>{128, 128, 128}));
  EXPECT_EQ(d.fields[0].role, "input");
  EXPECT_EQ(d.fields[0].unit, "1");
  EXPECT_EQ(d.fields[1].layout, data::Layout::kSample);
  ASSERT_EQ(d.splits.size(), 3U);
  EXPECT_EQ(d.splits[0].files, (std::vector<std::string>{"a/*.h5"}));
  EXPECT_EQ(d.splits[1].fraction, 0.25);
  EXPECT_EQ(d.splits[2].group, "held out");
}

TEST(DataLists, read_back_from_the_resolved_print) {
  const train::Run run = parse_run(kCosmo, "run.toml", {});
  const std::string text = resolved_toml(run);
  const train::Run again = parse_run(text, "resolved.toml", {});
  EXPECT_EQ(resolved_toml(again), text);
  ASSERT_EQ(again.data.dataset.fields.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i)
    for (const auto& o : field_keys())
      EXPECT_EQ(o.get(again.data.dataset.fields[i]), o.get(run.data.dataset.fields[i])) << o.name;
  ASSERT_EQ(again.data.dataset.splits.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i)
    for (const auto& o : split_keys())
      EXPECT_EQ(o.get(again.data.dataset.splits[i]), o.get(run.data.dataset.splits[i])) << o.name;
}

TEST(DataLists, path_is_one_text_or_a_list) {
  using Texts = std::vector<std::string>;
  const auto path = [](const std::string& toml, const std::vector<std::string>& overrides) {
    return parse_run(toml, "run.toml", overrides).data.dataset.path;
  };
  EXPECT_EQ(path("[data]\npath = \"a.h5\"", {}), Texts{"a.h5"});
  EXPECT_EQ(path("[data]\npath = [\"a.h5\", \"b.h5\"]", {}), (Texts{"a.h5", "b.h5"}));
  EXPECT_EQ(path("", {"data.path=a, b.h5"}), Texts{"a, b.h5"});
  EXPECT_EQ(path("", {"data.path=[\"a\", \"b\"]"}), (Texts{"a", "b"}));
  EXPECT_NE(resolved_toml(parse_run("", "r", {"data.path=x.h5"})).find("path = \"x.h5\"\n"),
            std::string::npos);
}

TEST(DataLists, refuse_what_they_do_not_know_and_name_what_was_meant) {
  const std::string f = "[[data.fields]]\nname = \"x\"\npath = \"/x\"\n";
  const struct {
    std::string toml, sentence;
  } cases[] = {
      {f + "layuot = \"rows\"", "run.toml:4: unknown key layuot of a field; did you mean layout?"},
      {f + "layout = \"row\"",
       "run.toml:4: layout = \"row\" is not known; use rows, sample, blocks (did you mean rows?)"},
      {f + "block = [2]", "run.toml:4: a field of layout rows has no block; only blocks has"},
      {f + "layout = \"blocks\"", "run.toml:1: field 1 needs the key block"},
      {"[[data.fields]]\nname = \"x\"", "run.toml:1: field 1 needs the key path"},
      {"[[data.splits]]\nfraction = 0.5", "run.toml:1: split 1 needs the key name"},
      {"[[data.splits]]\nname = \"a\"\nfraction = 1.5",
       "run.toml:3: fraction = 1.5 is out of range; allowed: >= 0, < 1"},
      {"[data]\nfields = 3",
       "run.toml:2: data.fields must be a list of tables, each written as "
       "[[data.fields]]"},
  };
  for (const auto& c : cases) {
    try {
      parse_run(c.toml, "run.toml", {});
      ADD_FAILURE() << "accepted: " << c.toml;
    } catch (const UserError& error) {
      EXPECT_EQ(std::string(error.what()), c.sentence);
    }
  }
  try {
    parse_run("", "run.toml", {"data.fields=3"});
    ADD_FAILURE();
  } catch (const UserError& error) {
    EXPECT_EQ(std::string(error.what()),
              "--set data.fields=3: fields are described in the run file only, as [[data.fields]]");
  }
}

}  // namespace
}  // namespace lockstep::config
