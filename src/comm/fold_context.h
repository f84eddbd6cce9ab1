// What the parts of one fold share: the plan, the node's memory, and the messages between nodes.
#pragma once
#include <mpi.h>

#include <memory>
#include <optional>
#include <vector>

#include "device_windows.h"
#include "exchange.h"
#include "lane_claims.h"
#include "node_memory.h"
#include "pages.h"
#include "record_messages.h"

namespace lockstep::comm {

class FoldContext {
 public:
  // messages: a communicator of its own over all ranks, or MPI_COMM_NULL on one node. lent: it
  // outlives the context, which otherwise frees it.
  FoldContext(std::unique_ptr<FoldPlan> plan, std::unique_ptr<SharedWindow> window,
              std::unique_ptr<DeviceWindows> devices, MPI_Comm messages, bool lent = false);
  ~FoldContext();
  FoldContext(const FoldContext&) = delete;
  FoldContext& operator=(const FoldContext&) = delete;

  // Of any block after the step; of those that this rank sums while it does.
  double* value_place(int block) const {
    if (values) return reinterpret_cast<double*>(values->record(plan.values.place[block]));
    return memory.block_values(home[block]) + block;
  }

  const std::unique_ptr<FoldPlan> owned_plan;
  const FoldPlan& plan;
  const std::unique_ptr<DeviceWindows> devices;  // null: all sums are made on the host
  const NodeMemory memory;
  const int node, local, locals;
  std::vector<int> home;             // block -> local rank that holds its sum; -1: on another node
  std::optional<LaneClaims> claims;  // where lanes move
  MPI_Comm messages;
  std::optional<Exchange> exchange;      // several nodes
  std::optional<RecordMessages> values;  // FoldPlan::values_travel(): the blocks' values, by owner

 private:
  Pages inbox_;
  Buffer device_inbox_;
  bool pinned_ = false;
  const bool lent_;
};

}  // namespace lockstep::comm
