// What the ranks of a benchmark have in common: the device that each measures, what is said of the
// machine in every result, and what they agree on.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/kernel.h"
#include "lockstep/comm/communicator.h"
#include "lockstep/device/device.h"

namespace lockstep::bench {

// Collective; null: the cpu. As run.device says. Throws UserError on all ranks if one has no such.
std::unique_ptr<Device> open_device(comm::Communicator& communicator, const std::string& name);

using Facts = std::vector<std::pair<std::string, std::string>>;
// Collective: host, ranks and nodes, processor or device.
Facts machine_facts(comm::Communicator& communicator, const Device& device);

// Collective: "ok", or what the lowest position found that found something.
std::string agreed(comm::Communicator& communicator, const std::string& mine);

// Throws UserError naming the groups that there are if `only` asks for none of them.
void require_some(const std::vector<std::string>& only, const std::vector<std::string>& groups);
void require_some(const std::vector<std::string>& only, const std::vector<Subject>& subjects);

}  // namespace lockstep::bench
