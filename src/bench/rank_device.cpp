#include "bench/rank_device.h"

#include <fmt/format.h>

#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/core/host.h"
#include "lockstep/core/isa.h"
#include "lockstep/device/cuda.h"

namespace lockstep::bench {

std::unique_ptr<Device> open_device(comm::Communicator& communicator, const std::string& name) {
  std::unique_ptr<Device> device;
  if (name == "cpu") return device;
  const comm::Topology& topology = communicator.topology();
  communicator.together([&] {
    device = make_cuda_device({name, topology.local(), topology.local_ranks(),
                               fmt::format("rank {} on {}", communicator.rank(), host_name())});
  });
  return device;
}

Facts machine_facts(comm::Communicator& communicator, const Device& device) {
  const comm::Topology& topology = communicator.topology();
  const std::string host =
      comm::broadcast_text(communicator, host_name(), topology.rank_at.front());
  Facts facts{{"host", host},
              {"ranks", fmt::format("{}", communicator.size())},
              {"nodes", fmt::format("{}", topology.nodes())}};
  if (device.is_host())
    facts.emplace_back("processor", fmt::format("{}, {}", cpu_model(), name_of(isa())));
  else
    facts.emplace_back("device", cuda_description(device));
  return facts;
}

std::string agreed(comm::Communicator& communicator, const std::string& mine) {
  const comm::Topology& topology = communicator.topology();
  const std::int64_t first =
      communicator.min(mine.empty() ? communicator.size() : topology.position);
  if (first == communicator.size()) return "ok";
  return comm::broadcast_text(communicator, mine,
                              topology.rank_at[static_cast<std::size_t>(first)]);
}

void require_some(const std::vector<std::string>& only, const std::vector<std::string>& groups) {
  for (const std::string& text : only) {
    const bool known = std::ranges::any_of(groups, [&](const std::string& group) {
      return group == text || (text.size() > group.size() && text.starts_with(group + " "));
    });
    if (!known)
      throw UserError("--only {}: there is no such group; these are {}", text,
                      fmt::join(groups, ", "));
  }
}

void require_some(const std::vector<std::string>& only, const std::vector<Subject>& subjects) {
  std::vector<std::string> groups;
  for (const Subject& subject : subjects)
    if (std::ranges::find(groups, subject.group) == groups.end()) groups.push_back(subject.group);
  require_some(only, groups);
}

}  // namespace lockstep::bench
