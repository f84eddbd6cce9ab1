// The memory ledger of a run on any layout of ranks and with any strategy that can be planned, made
// on a device that only plans: of the run itself before it takes memory, and of a plan for ranks that
// are not there.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "lockstep/data/loader_plan.h"
#include "train/setup.h"

namespace lockstep::train {

class LedgerPlan {
 public:
  // The run, the manifest and the task outlive the plan. Throws what the run would.
  LedgerPlan(const Run& run, const data::Manifest& manifest, const Task& task,
             ops::Precision precision);

  // The rows of the topology's position, in the order and with the notes of the run's own ledger.
  // options.lanes, .accumulate and .streams are set from the run, but for more lanes than it has:
  // those have its microbatch. `before`: resident bytes of the program before anything is made.
  std::vector<nn::LedgerRow> rows(const comm::Topology& topology, const parallel::Options& options,
                                  std::uint64_t before) const;

 private:
  // Of runs that hold layers or all parameters, with so many streams.
  const nn::Program& program(const Run& run) const;
  void append_data(std::vector<nn::LedgerRow>& rows, const comm::Topology& topology,
                   const parallel::Options& options) const;
  std::uint64_t snapshot_bytes(const comm::Topology& topology, const nn::Program& program,
                               const parallel::Options& options, bool on_device) const;

  const Run& run_;
  const Task& task_;
  const ops::Precision precision_;
  const bool cuda_;
  optim::Options optimizer_;  // with the schedule's end
  data::LoaderPlan loader_;
  mutable std::map<std::pair<bool, int>, std::unique_ptr<nn::Program>> programs_;
};

}  // namespace lockstep::train
