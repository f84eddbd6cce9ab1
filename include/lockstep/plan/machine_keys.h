// The keys of a machine file, in one table: what they are called, which member they fill, what they
// may be. The writer, the reader, the merge and the documentation go by it; it knows no TOML.
#pragma once
#include <string>
#include <variant>
#include <vector>

#include "lockstep/plan/machine.h"

namespace lockstep::plan {

template <class Owner>
struct MachineKey {
  using Member = std::variant<std::string Owner::*, std::int64_t Owner::*, double Owner::*,
                              std::vector<double> Owner::*>;
  std::string name;
  Member member;
  std::string help;                     // with its unit
  double least = 0, most = 1e300;       // of numbers
  std::vector<std::string> words = {};  // the only texts allowed, where there are any
};

// [device], [[device.rates]], [[device.contention]], [[levels]], [files], [reliability]
const std::vector<MachineKey<Device>>& device_keys();
const std::vector<MachineKey<KernelRate>>& rate_keys();
const std::vector<MachineKey<Contention>>& contention_keys();
const std::vector<MachineKey<Level>>& level_keys();
const std::vector<MachineKey<Files>>& files_keys();
const std::vector<MachineKey<Reliability>>& reliability_keys();

// Keys of [sources] whose figures the machine has: "device.fp32", "device.rates.linear",
// "levels.network.latency"; no names, counts of members, or figures that are as they were made.
std::vector<std::string> figures_of(const Machine& machine);
// Where a figure is from: its own source, or that of the tables around it. Empty: nobody says.
std::string source_of(const Machine& machine, std::string figure);

}  // namespace lockstep::plan
