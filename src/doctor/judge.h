// From facts to findings; talks to nobody, so that every judgement can be tested with facts of
// one's own.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "doctor/facts.h"
#include "doctor/finding.h"
#include "lockstep/comm/launch.h"
#include "lockstep/comm/links.h"

namespace lockstep::doctor {

using Ranks = std::span<const RankFacts>;

Finding judge_launch(const comm::Launch& launch, int ranks, int nodes, std::int64_t lanes);
// Slurm's own PMIx barrier, under srun; nothing to say otherwise: an empty topic.
Finding judge_slurm(const comm::Launch& launch, int nodes, const std::string& pmix_fence);
Finding judge_cores(Ranks ranks);
Finding judge_machines(Ranks ranks);  // the same processors, instruction sets, libraries
Finding judge_speed(Ranks ranks);     // of their cores
Finding judge_clocks(Ranks ranks);
Finding judge_links(const comm::PairLinks& links, const char* topic, bool between_nodes,
                    Ranks ranks);
Finding judge_shared_memory(Ranks ranks);
Finding judge_memory(Ranks ranks);
Finding judge_files(Ranks ranks, const std::string& folder);
Finding judge_data(Ranks ranks, const std::string& path);
Finding judge_filters(Ranks ranks, const std::vector<std::string>& names,
                      const std::string& hdf5_version);
Finding judge_gpus(Ranks ranks, bool wanted);

}  // namespace lockstep::doctor
