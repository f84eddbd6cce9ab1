#include "train/rank_device.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <vector>

#include "lockstep/core/host.h"
#include "lockstep/core/log.h"
#include "lockstep/device/cuda.h"

namespace lockstep::train {
namespace {

constexpr std::size_t kNamed = 16;  // ranks that are named one by one

// Positions [0, computing) compute: they take the devices of their node in order.
std::unique_ptr<Device> open(comm::Communicator& communicator, const Run& run, int computing) {
  const comm::Topology& topology = communicator.topology();
  const int first = topology.node_begin[topology.node()];
  std::unique_ptr<Device> device;
  communicator.together([&] {
    if (topology.position >= computing) return;
    CudaChoice choice;
    choice.device = run.run.device;
    choice.local_rank = topology.local();
    choice.local_ranks = std::min(topology.local_ranks(), computing - first);
    choice.who = fmt::format("rank {} on {}", communicator.rank(), host_name());
    device = make_cuda_device(choice);
  });
  return device;
}

// What a rank says of its device, by rank.
struct Entry {
  std::string number, kind, identity;  // "0", "NVIDIA H100, sm_90", a UUID
};

// device: null on a rank that computes nothing.
std::map<int, Entry> gather(comm::Communicator& communicator, const Device* device) {
  std::string mine;
  if (device != nullptr) {
    std::string name = device->name();  // "cuda 0: NVIDIA H100, sm_90"
    name.erase(0, name.find(' ') + 1);
    const std::size_t colon = name.find(": ");
    mine = fmt::format("{}\n{}\n{}\n{}\n", communicator.rank(), name.substr(0, colon),
                       name.substr(colon + 2), cuda_identity(*device));
  }
  const std::vector<std::byte> all = communicator.gather_all(std::as_bytes(std::span(mine)));
  std::istringstream lines(std::string(reinterpret_cast<const char*>(all.data()), all.size()));
  std::map<int, Entry> entries;
  for (std::string rank; std::getline(lines, rank);) {
    Entry& e = entries[std::stoi(rank)];
    std::getline(lines, e.number);
    std::getline(lines, e.kind);
    std::getline(lines, e.identity);
  }
  return entries;
}

std::string text_of(const std::map<int, Entry>& entries) {
  std::map<std::string, int> kinds;
  for (const auto& [rank, entry] : entries) ++kinds[entry.kind];
  std::string text = "cuda: ";
  for (const auto& [kind, count] : kinds) {
    if (!text.ends_with(": ")) text += " and ";
    if (entries.size() > 1) text += fmt::format("{} x ", count);
    text += kind;
  }
  std::size_t named = 0;
  for (const auto& [rank, entry] : entries) {
    if (named == kNamed) return text + " ...";
    text += named++ == 0 ? fmt::format("; rank {} on cuda {}", rank, entry.number)
                         : fmt::format(", {} on {}", rank, entry.number);
  }
  return text;
}

// The first two ranks on one device.
std::string sharing(const std::map<int, Entry>& entries) {
  std::map<std::string, int> first;
  for (const auto& [rank, entry] : entries) {
    const auto [known, is_new] = first.emplace(entry.identity, rank);
    if (!is_new)
      return fmt::format("ranks {} and {} share one device ({})", known->second, rank, entry.kind);
  }
  return "";
}

// The last positions serve (comm::ServerRoles); the first computes in any case.
int computing_positions(const comm::Communicator& communicator, const Run& run,
                        Computing computing) {
  const parallel::Options& options = run.parallel.options;
  const bool serves =
      computing == Computing::kTrainingRanks && options.kind == parallel::Kind::kServer;
  return serves ? std::max(1, communicator.size() - static_cast<int>(options.servers))
                : communicator.size();
}

}  // namespace

RankDevice::RankDevice(comm::Communicator& communicator, const Run& run, Computing computing) {
  if (run.run.device == "cpu") {
    text_ = cpu_device().name();
    return;
  }
  const int positions = computing_positions(communicator, run, computing);
  own_ = open(communicator, run, positions);
  const std::map<int, Entry> entries = gather(communicator, own_.get());
  text_ = text_of(entries);
  if (positions < communicator.size()) text_ += "; servers have none";
  shared_ = sharing(entries);
  if (own_) {
    gpu_ = cuda_description(*own_);
    capability_ = cuda_capability(*own_);
  }
  if (positions == communicator.size()) return;
  const std::string gpu = comm::broadcast_text(communicator, gpu_);
  comm::broadcast_value(communicator, capability_, 0);
  if (!own_) gpu_ = gpu;
}

void RankDevice::warn_of_sharing() const {
  if (shared_.empty()) return;
  log::warn(
      "{}: the result is the same, but they take turns; give each rank a device of its own, "
      "or start fewer ranks",
      shared_);
}

}  // namespace lockstep::train
