#include "lockstep/doctor/doctor.h"

#include <cstdlib>

#include "doctor/judge.h"
#include "lockstep/core/log.h"
#include "lockstep/data/filters.h"

namespace lockstep::doctor {
namespace {

std::vector<std::string> filter_names() {
  std::vector<std::string> names;
  for (const data::Filter& filter : data::known_filters()) names.push_back(filter.name);
  return names;
}

}  // namespace

ExitCode examine(comm::Communicator& communicator, const Request& request) {
  communicator.set_activity("looking at its machine", 0);
  const int nodes = communicator.topology().nodes();
  const comm::PairLinks inside = measure_pairs(communicator, comm::PairsOf::kNode);
  const comm::PairLinks between = measure_pairs(communicator, comm::PairsOf::kNeighbouringNodes);
  const std::vector<RankFacts> ranks = gather_facts(communicator, request);
  const comm::Launch launch = comm::launch();
  const char* fence = std::getenv("SLURM_PMIX_FENCE");

  Findings findings;
  const auto add = [&findings](Finding finding) {
    if (!finding.topic.empty()) findings.push_back(std::move(finding));
  };
  add(judge_launch(launch, communicator.size(), nodes, request.lanes));
  add(judge_slurm(launch, nodes, fence != nullptr ? fence : ""));
  add(judge_cores(ranks));
  add(judge_machines(ranks));
  add(judge_speed(ranks));
  add(judge_clocks(ranks));
  add(judge_links(inside, "in a node", false, ranks));
  add(judge_links(between, "network", true, ranks));
  add(judge_shared_memory(ranks));
  add(judge_memory(ranks));
  add(judge_files(ranks, request.folder));
  add(judge_data(ranks, request.data));
  add(judge_filters(ranks, filter_names(), data::hdf5_library_version()));
  add(judge_gpus(ranks, request.cuda));
  if (log::speaks()) log::line(text_of(findings));
  // All ranks judge the same facts.
  return any_failed(findings) ? ExitCode::kNo : ExitCode::kDone;
}

}  // namespace lockstep::doctor
