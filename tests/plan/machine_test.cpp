#include "lockstep/plan/machine.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/plan/machine_keys.h"

namespace lockstep::plan {
namespace {

Level level(const std::string& name, double latency, double bandwidth) {
  Level l;
  l.name = name;
  l.latency = latency;
  l.bandwidth = bandwidth;
  return l;
}

Machine device_alone() {
  Machine m;
  m.name = "a device";
  m.device.name = "one";
  m.device.kind = "cuda";
  m.device.fp32 = 1e13;
  m.device.memory_bandwidth = 1e12;
  m.device.rates = {{"linear", "bf16", {}, 1e14, 2e14}};
  m.sources = {{"device.fp32", "a datasheet"}, {"device.rates.linear", "a measurement"}};
  return m;
}

std::string refusal(const Machine& machine) {
  try {
    check_complete(machine, "m.toml");
  } catch (const UserError& error) {
    return error.what();
  }
  return {};
}

TEST(Machine, merged_takes_levels_of_the_same_name_and_keeps_the_node_first) {
  Machine network, node;
  network.levels = {level("network", 1e-6, 1e9)};
  network.sources = {{"levels.network.latency", "old"}, {"levels.network.gap", "old"}};
  node.levels = {level("node", 1e-7, 1e11), level("network", 2e-6, 2e9)};
  node.sources = {{"levels.network.latency", "new"}};
  const Machine both = merged(merged(device_alone(), network), node);
  ASSERT_EQ(both.levels.size(), 2u);
  EXPECT_EQ(both.levels[0].name, "node");
  EXPECT_EQ(both.levels[1].latency, 2e-6);
  EXPECT_EQ(both.sources.at("levels.network.latency"), "new");
  EXPECT_FALSE(both.sources.contains("levels.network.gap"));
  EXPECT_EQ(both.device.fp32, 1e13);
  EXPECT_EQ(both.sources.at("device.fp32"), "a datasheet");
}

TEST(Machine, merged_replaces_a_named_device_and_changes_keys_of_the_one_that_is_there) {
  Machine other, own;
  other.device.name = "two";
  other.device.kind = "cuda";
  other.device.fp32 = 3e13;
  const Machine replaced = merged(device_alone(), other);
  EXPECT_EQ(replaced.device.name, "two");
  EXPECT_TRUE(replaced.device.rates.empty());
  EXPECT_EQ(replaced.device.memory_bandwidth, 0);
  EXPECT_FALSE(replaced.sources.contains("device.fp32"));

  own.device.per_node = 4;
  own.files.read = 5e9;
  own.reliability.node_mtbf = 1e7;
  const Machine changed = merged(device_alone(), own);
  EXPECT_EQ(changed.device.name, "one");
  EXPECT_EQ(changed.device.per_node, 4);
  EXPECT_EQ(changed.device.rates.size(), 1u);
  EXPECT_EQ(changed.files.read, 5e9);
  EXPECT_EQ(changed.reliability.node_mtbf, 1e7);
  EXPECT_EQ(changed.reliability.straggler_factor, 1);
}

TEST(Machine, check_complete_names_the_key_that_is_missing) {
  Machine m = device_alone();
  EXPECT_EQ(refusal(m), "");
  m.levels = {level("node", 1e-7, 0)};
  EXPECT_NE(refusal(m).find("m.toml: the machine has no bandwidth of level node"),
            std::string::npos)
      << refusal(m);
  m.levels.clear();
  m.device.memory_bandwidth = 0;
  EXPECT_NE(refusal(m).find("device.memory_bandwidth"), std::string::npos);
  m.device.fp32 = 0;
  EXPECT_NE(refusal(m).find("device.fp32"), std::string::npos);
  EXPECT_NE(refusal(Machine()).find("device.kind"), std::string::npos);
}

TEST(Machine, a_source_of_a_table_stands_for_its_figures) {
  Machine m = device_alone();
  m.levels = {level("node", 1e-7, 1e11)};
  m.sources["levels"] = "all of them";
  m.sources["levels.node.bandwidth"] = "this one";
  EXPECT_EQ(source_of(m, "levels.node.latency"), "all of them");
  EXPECT_EQ(source_of(m, "levels.node.bandwidth"), "this one");
  EXPECT_EQ(source_of(m, "device.memory_bandwidth"), "");
  const auto figures = figures_of(m);
  for (const char* figure : {"device.fp32", "device.rates.linear", "levels.node.latency"})
    EXPECT_EQ(std::ranges::count(figures, figure), 1) << figure;
  EXPECT_EQ(std::ranges::count(figures, "device.bf16"), 0);
}

}  // namespace
}  // namespace lockstep::plan
