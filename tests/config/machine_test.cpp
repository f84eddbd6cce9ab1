// Machine files: what reads back, what is refused, and those that come with the program.
#include "lockstep/config/machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/plan/machine_keys.h"

namespace lockstep::config {
namespace {

// Every member of the keys gets a value of its own that is not what it was made with.
struct Filler {
  double next = 0.1;
  template <class Owner>
  Owner fill(const std::vector<plan::MachineKey<Owner>>& keys) {
    Owner owner;
    for (const auto& key : keys) {
      next += 1.0 / 3;
      std::visit([&](auto member) { set(owner.*member, key.words, key.most < key.least + 2); },
                 key.member);
    }
    return owner;
  }
  void set(std::string& text, const std::vector<std::string>& words, bool) {
    text = words.empty() ? "a \"name\" \\ of\ttext" : words.back();
  }
  void set(std::int64_t& number, const std::vector<std::string>&, bool) {
    number = static_cast<std::int64_t>(next * 10);
  }
  void set(double& number, const std::vector<std::string>&, bool is_part) {
    number = is_part ? 1 / (1 + next) : next * 1e9 / 7;
  }
  void set(std::vector<double>& list, const std::vector<std::string>&, bool) {
    list = {next, 1e-9 / next, 3};
  }
};

plan::Machine full() {
  Filler filler;
  plan::Machine m;
  m.name = "all \"keys\"";
  m.device = filler.fill(plan::device_keys());
  for (int i = 0; i < 3; ++i) {
    m.device.rates.push_back(filler.fill(plan::rate_keys()));
    m.device.contention.push_back(filler.fill(plan::contention_keys()));
    m.levels.push_back(filler.fill(plan::level_keys()));
  }
  m.files = filler.fill(plan::files_keys());
  m.reliability = filler.fill(plan::reliability_keys());
  m.sources = {{"device.fp32", "a \"sheet\", https://example.org/?a=b"}, {"files", "elsewhere"}};
  return m;
}

template <class Owner>
void expect_same(const Owner& a, const Owner& b, const std::vector<plan::MachineKey<Owner>>& keys) {
  const Owner made;
  for (const auto& key : keys) {
    std::visit(
        [&](auto member) {
          EXPECT_EQ(a.*member, b.*member) << key.name;
          EXPECT_NE(b.*member, made.*member) << key.name << " was not filled";
        },
        key.member);
  }
}

std::string refusal(const std::string& toml) {
  try {
    parse_machine(toml, "m.toml");
  } catch (const UserError& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST(MachineFile, reads_back_exactly_what_was_written) {
  const plan::Machine m = full();
  const std::string text = plan::machine_toml(m);
  const plan::Machine back = parse_machine(text, "m.toml");
  EXPECT_EQ(back.name, m.name);
  expect_same(back.device, m.device, plan::device_keys());
  ASSERT_EQ(back.device.rates.size(), 3u);
  ASSERT_EQ(back.device.contention.size(), 3u);
  ASSERT_EQ(back.levels.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    expect_same(back.device.rates[i], m.device.rates[i], plan::rate_keys());
    expect_same(back.device.contention[i], m.device.contention[i], plan::contention_keys());
    expect_same(back.levels[i], m.levels[i], plan::level_keys());
  }
  expect_same(back.files, m.files, plan::files_keys());
  expect_same(back.reliability, m.reliability, plan::reliability_keys());
  EXPECT_EQ(back.sources, m.sources);
  EXPECT_EQ(plan::machine_toml(back), text);
  // And what was made with nothing.
  EXPECT_EQ(plan::machine_toml(parse_machine(plan::machine_toml({}), "m.toml")),
            plan::machine_toml({}));
}

TEST(MachineFile, names_place_and_nearest_key) {
  EXPECT_EQ(refusal("[device]\nname = \"x\"\nfp23 = 1e12\n"),
            "m.toml:3: unknown key device.fp23; did you mean fp32?");
  EXPECT_EQ(refusal("[devise]\n").substr(0, 40), "m.toml:1: unknown key devise; did you me");
  EXPECT_EQ(refusal("[[levels]]\nname = \"node\"\nlatancy = 1e-6\n"),
            "m.toml:3: unknown key levels.latancy; did you mean latency?");
  EXPECT_EQ(refusal("[[device.rates]]\nkernel = \"linear\"\nspeed = 2\n").substr(0, 44),
            "m.toml:3: unknown key device.rates.speed; us");
}

TEST(MachineFile, refuses_types_ranges_and_words) {
  EXPECT_EQ(refusal("[device]\nfp32 = \"fast\"\n"), "m.toml:2: device.fp32 must be a number");
  EXPECT_EQ(refusal("[device]\nper_node = 1.5\n"), "m.toml:2: device.per_node must be an integer");
  EXPECT_EQ(refusal("[device]\nname = 3\n"), "m.toml:2: device.name must be a text");
  EXPECT_EQ(refusal("[[device.rates]]\nsize = 3\n"),
            "m.toml:2: device.rates.size must be a list of numbers");
  EXPECT_EQ(refusal("[files]\nread = -1\n"),
            "m.toml:2: files.read = -1 is out of range; allowed: >= 0");
  EXPECT_EQ(refusal("[device]\nfp32 = nan\n"),
            "m.toml:2: device.fp32 = nan is out of range; allowed: >= 0");
  EXPECT_EQ(refusal("[device]\nfp32 = inf\n"),
            "m.toml:2: device.fp32 = inf is out of range; allowed: >= 0");
  EXPECT_EQ(refusal("[reliability]\nstraggler_chance = 1.5\n"),
            "m.toml:2: reliability.straggler_chance = 1.5 is out of range; allowed: >= 0, <= 1");
  EXPECT_EQ(refusal("[device]\nkind = \"cud\"\n"),
            "m.toml:2: device.kind = \"cud\" is not known; did you mean cuda?");
  EXPECT_EQ(refusal("[levels]\nname = \"node\"\n"),
            "m.toml:1: levels must be a list of tables, each written as [[levels]]");
  EXPECT_EQ(refusal("device = 1\n"), "m.toml:1: device must be a table, written as [device]");
  EXPECT_EQ(refusal("[sources]\n\"device.fp32\" = 1\n"),
            "m.toml:2: sources.device.fp32 must be a text");
  EXPECT_EQ(refusal("a = = 2\n").substr(0, 30), "m.toml:1: this is not TOML: Er");
}

TEST(MachineFile, a_list_names_files_and_machines_of_the_program) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "own_machine.toml";
  write_file_atomically(file, "[device]\nper_node = 4\n[files]\nread = 2e9\n");
  const plan::Machine m = read_machine("a100-40gb, nvlink3,ib-hdr , " + file.string());
  std::filesystem::remove(file);
  EXPECT_EQ(m.device.fp32, 19.5e12);
  EXPECT_EQ(m.device.per_node, 4);
  EXPECT_EQ(m.files.read, 2e9);
  ASSERT_EQ(m.levels.size(), 2u);
  EXPECT_EQ(m.levels[0].name, "node");
  EXPECT_EQ(m.levels[1].name, "network");
}

TEST(MachineFile, an_unknown_name_gets_the_nearest_and_the_list) {
  try {
    read_machine("a100-40gb,nvlnk3");
    FAIL() << "nothing was refused";
  } catch (const UserError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("there is no machine file nvlnk3; did you mean nvlink3?"),
              std::string::npos)
        << text;
    for (const ShippedMachine& machine : shipped_machines())
      EXPECT_NE(text.find(machine.name), std::string::npos) << machine.name;
  }
  for (const char* list : {"", ",", "h100,", " , h100"})
    EXPECT_THROW(read_machine(list), UserError) << "'" << list << "'";
}

// What is asked for, and what people would look for.
TEST(ShippedMachines, are_the_known_devices_and_interconnects) {
  std::set<std::string> names;
  for (const ShippedMachine& machine : shipped_machines()) names.insert(machine.name);
  for (const char* name :
       {"a100-40gb", "a100-80gb", "h100", "h200", "b200", "p100", "nvlink3", "nvlink4", "nvlink5",
        "ib-hdr", "ib-ndr", "slingshot11", "ethernet-25", "ethernet-100"})
    EXPECT_TRUE(names.contains(name)) << name;
  EXPECT_NE(shipped_machines_text().find("h200 (NVIDIA H200 SXM 141 GB)"), std::string::npos);
}

TEST(ShippedMachines, every_figure_has_a_source_and_every_source_a_figure) {
  for (const ShippedMachine& shipped : shipped_machines()) {
    const plan::Machine m = parse_machine(std::string(shipped.toml), shipped.name);
    const auto figures = plan::figures_of(m);
    EXPECT_FALSE(figures.empty()) << shipped.name;
    EXPECT_FALSE(m.name.empty()) << shipped.name;
    for (const std::string& figure : figures) {
      ASSERT_TRUE(m.sources.contains(figure)) << shipped.name << ": " << figure;
      EXPECT_GT(m.sources.at(figure).size(), 15u) << shipped.name << ": " << figure;
    }
    for (const auto& [figure, source] : m.sources)
      EXPECT_EQ(std::ranges::count(figures, figure), 1) << shipped.name << ": " << figure;
  }
}

TEST(ShippedMachines, a_device_and_interconnects_are_complete) {
  int devices = 0;
  for (const ShippedMachine& device : shipped_machines()) {
    const plan::Machine m = parse_machine(std::string(device.toml), device.name);
    if (m.device.kind.empty()) {
      EXPECT_THROW(plan::check_complete(m, device.name), UserError) << device.name;
      continue;
    }
    ++devices;
    // No rate exceeds what the device gives at most.
    for (const plan::KernelRate& rate : m.device.rates) {
      const double most = rate.precision == "bf16" ? m.device.bf16 : m.device.fp32;
      EXPECT_LE(std::max(rate.forward, rate.backward), most) << device.name;
    }
    for (const ShippedMachine& link : shipped_machines()) {
      const std::string both = device.name + "," + link.name;
      EXPECT_NO_THROW(plan::check_complete(read_machine(both), both));
    }
  }
  EXPECT_EQ(devices, 6);
}

}  // namespace
}  // namespace lockstep::config
