#include "lockstep/plan/machine_keys.h"

#include <algorithm>

namespace lockstep::plan {
namespace {

template <class Owner>
bool as_made(const Owner& owner, const MachineKey<Owner>& key) {
  const Owner made;
  return std::visit([&](auto member) { return owner.*member == made.*member; }, key.member);
}

template <class Owner>
void add_figures(const Owner& owner, const std::vector<MachineKey<Owner>>& keys,
                 const std::string& table, std::vector<std::string>& out) {
  for (const MachineKey<Owner>& key : keys) {
    if (std::holds_alternative<double Owner::*>(key.member) && !as_made(owner, key))
      out.push_back(table + "." + key.name);
  }
}

}  // namespace

const std::vector<MachineKey<Device>>& device_keys() {
  static const std::vector<MachineKey<Device>> kKeys{
      {"name", &Device::name, "What it is called"},
      {"kind", &Device::kind, "What a rank computes on", 0, 0, {"cpu", "cuda"}},
      {"per_node", &Device::per_node, "Devices of a node; of the cpu: cores"},
      {"threads", &Device::threads, "Threads of a rank that the rates were measured with (cpu)", 1},
      {"memory", &Device::memory, "Bytes of one device; of the cpu: of the node"},
      {"fp32", &Device::fp32, "flop/s at most in fp32; of the cpu: of one core"},
      {"bf16", &Device::bf16, "flop/s at most of factors in bf16"},
      {"memory_bandwidth", &Device::memory_bandwidth, "Bytes/s read and written by one rank alone"},
      {"overhead", &Device::overhead, "Seconds that an op costs besides: a launch, a call"}};
  return kKeys;
}

const std::vector<MachineKey<KernelRate>>& rate_keys() {
  static const std::vector<MachineKey<KernelRate>> kKeys{
      {"kernel", &KernelRate::kernel, "An op's kind, \"update\" or \"fold\""},
      {"precision", &KernelRate::precision, "Of its factors", 0, 0, {"fp32", "bf16"}},
      {"size", &KernelRate::size, "The sizes it was measured at; absent: any"},
      {"forward", &KernelRate::forward, "flop/s, or bytes/s of a kernel without flops"},
      {"backward", &KernelRate::backward, "The same of its backward"}};
  return kKeys;
}

const std::vector<MachineKey<Contention>>& contention_keys() {
  static const std::vector<MachineKey<Contention>> kKeys{
      {"ranks", &Contention::ranks, "Ranks of the node that work at once", 1},
      {"compute", &Contention::compute, "Part of its compute rate that each keeps", 0, 1},
      {"memory", &Contention::memory, "Part of its memory bandwidth that each keeps", 0, 1}};
  return kKeys;
}

const std::vector<MachineKey<Level>>& level_keys() {
  static const std::vector<MachineKey<Level>> kKeys{
      {"name", &Level::name, "\"node\" first: between ranks of a node; then \"rack\", \"network\""},
      {"members", &Level::members, "Ranks of a node, nodes of a rack, ...; 0: all"},
      {"latency", &Level::latency, "Seconds a message travels, LogGP's L"},
      {"overhead", &Level::overhead, "Seconds of the processor at each end, LogGP's o"},
      {"gap", &Level::gap, "Seconds from one message of a rank to its next, LogGP's g"},
      {"bandwidth", &Level::bandwidth, "Bytes/s of one rank alone, one direction; 1 / LogGP's G"},
      {"unit_bandwidth", &Level::unit_bandwidth,
       "Bytes/s, one direction, of all that leaves a unit (a node); 0: no limit"},
      {"flag", &Level::flag, "Seconds until a flag in shared memory is seen; 0: none is shared"}};
  return kKeys;
}

const std::vector<MachineKey<Files>>& files_keys() {
  static const std::vector<MachineKey<Files>> kKeys{
      {"read", &Files::read, "Bytes/s that one node reads"},
      {"write", &Files::write, "Bytes/s that one node writes, flushed"},
      {"total_read", &Files::total_read, "Bytes/s that all nodes read together; 0: no limit"},
      {"total_write", &Files::total_write, "Bytes/s that all nodes write together; 0: no limit"},
      {"latency", &Files::latency, "Seconds to open a file"}};
  return kKeys;
}

const std::vector<MachineKey<Reliability>>& reliability_keys() {
  static const std::vector<MachineKey<Reliability>> kKeys{
      {"node_mtbf", &Reliability::node_mtbf, "Seconds between failures of one node; 0: none fails"},
      {"restart", &Reliability::restart, "Seconds from a failure to the first step after it"},
      {"straggler_chance", &Reliability::straggler_chance, "Of a rank, in a step", 0, 1},
      {"straggler_factor", &Reliability::straggler_factor, "What its work takes then, times", 1},
      {"jitter", &Reliability::jitter, "Standard deviation of a rank's step, as a part of it"}};
  return kKeys;
}

std::vector<std::string> figures_of(const Machine& machine) {
  std::vector<std::string> figures;
  add_figures(machine.device, device_keys(), "device", figures);
  for (const KernelRate& rate : machine.device.rates) {
    std::string figure = "device.rates." + rate.kernel;
    if (std::ranges::count(figures, figure) == 0) figures.push_back(std::move(figure));
  }
  if (!machine.device.contention.empty()) figures.emplace_back("device.contention");
  for (const Level& level : machine.levels)
    add_figures(level, level_keys(), "levels." + level.name, figures);
  add_figures(machine.files, files_keys(), "files", figures);
  add_figures(machine.reliability, reliability_keys(), "reliability", figures);
  return figures;
}

std::string source_of(const Machine& machine, std::string figure) {
  while (true) {
    const auto found = machine.sources.find(figure);
    if (found != machine.sources.end()) return found->second;
    const std::size_t dot = figure.rfind('.');
    if (dot == std::string::npos) return {};
    figure.resize(dot);
  }
}

}  // namespace lockstep::plan
