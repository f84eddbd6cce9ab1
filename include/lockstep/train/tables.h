// The tables of a run as text: what is in force and the memory ledger at start, where the time went
// at the end. Plain numbers in, aligned text out (every line ends in a newline).
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/comm/communicator.h"

namespace lockstep::train {

// Names and values in two aligned columns; a value's further lines are indented below its first.
std::string settings_text(const std::vector<std::pair<std::string, std::string>>& rows);

struct LedgerRow {
  std::string name;         // "parameters", "optimizer state", "activations", ...
  std::uint64_t bytes = 0;  // of this rank
  std::string note;         // "2 x 1.20 M fp32", "shared on the node"
  bool on_device = false;   // of a device with memory of its own
};
// Rows, then the total on the device, if any lies there, of this rank's host memory and, over the
// node's ranks, of this node's.
std::string ledger_text(const std::vector<LedgerRow>& rows, std::uint64_t node_bytes,
                        int node_ranks);
std::uint64_t total_bytes(const std::vector<LedgerRow>& rows, bool on_device = false);
// Collective: the sum of `mine` over the ranks of this rank's node.
std::uint64_t node_total(comm::Communicator& communicator, std::uint64_t mine);

// Where a rank's seconds went, from the first step to the last. `other` is what is left of `total`.
struct RankTimes {
  double total = 0, compute = 0, data = 0, exposed = 0, hidden = 0, fold = 0, other = 0;
  std::int64_t samples = 0;       // computed by this rank
  double flops = 0;               // done by this rank
  std::int64_t bytes_sent = 0;    // in messages between nodes and the small message of each step
  std::int64_t bytes_read = 0;    // from the windows of other ranks of the node
  std::int64_t bytes_loaded = 0;  // of training data, from files
  std::int64_t bytes_cached = 0;  // of training data, from the cache
  std::int64_t skipped = 0;       // samples that could not be trusted (data.on_error)
  double fma_peak = 0;            // flop/s of this rank's threads together
  std::uint64_t peak_memory = 0;  // resident bytes at most
  std::uint64_t shared_memory =
      0;  // this rank's part of its memory: what it shares is divided (PSS)
};
void fill_memory(RankTimes& times);  // of this process, from /proc
// Collective: one entry per position.
std::vector<RankTimes> gather_times(comm::Communicator& communicator, const RankTimes& mine);
// sequence: tokens per sample; 0: samples are no text.
std::string summary_text(std::span<const RankTimes> ranks, std::int64_t sequence = 0);

}  // namespace lockstep::train
