// The sections that say how ranks share the work.
#include "config/section_tables.h"
#include "lockstep/core/error.h"

namespace lockstep::config {

Table parallel_table() {
  using parallel::Kind;
  using parallel::OuterStep;
  using parallel::ServerMode;
  const Texts sharded{"sharded"}, server{"server"}, local{"local"};
  Table t;
  t.push_back(choice<Run>(
      "strategy", AT(parallel.options.kind),
      named({Kind::kReplicated, Kind::kSharded, Kind::kServer, Kind::kLocal}),
      "How gradients become new parameters: every rank holds all (replicated), each rank a part "
      "(sharded), some ranks serve the others (server), or replicas step alone and meet (local)."));
  t.push_back(key("stage", AT(parallel.options.stage),
                  "What is sharded: 1 the optimizer's state, 2 also the gradients, 3 also the "
                  "parameters.")
                  .between(1, 3)
                  .only("strategy", sharded));
  t.push_back(key("lane_group", AT(parallel.options.lane_group),
                  "Stage 3: lanes that go through a gathered layer together.")
                  .between(1, 1024)
                  .only("strategy", sharded));
  t.push_back(key("servers", AT(parallel.options.servers),
                  "Ranks that hold parameters and optimizer; the others compute.")
                  .between(1, 1 << 20)
                  .only("strategy", server));
  t.push_back(choice<Run>("mode", AT(parallel.options.mode),
                          Words<ServerMode>{{"sync", ServerMode::kSync},
                                            {"bounded", ServerMode::kBounded},
                                            {"async", ServerMode::kAsync}},
                          "Workers wait for each step (sync, the bits of replicated), run at most "
                          "staleness steps ahead (bounded), or never wait (async).")
                  .only("strategy", server));
  t.push_back(key("staleness", AT(parallel.options.staleness),
                  "Steps that a worker may be ahead of the slowest, with mode = \"bounded\".")
                  .at_least(0)
                  .only("strategy", server));
  t.push_back(key("replicas", AT(parallel.options.replicas),
                  "Replicas that step alone; they divide the lanes. 0: one for each lane.")
                  .at_least(0)
                  .only("strategy", local));
  t.push_back(
      key("every", AT(parallel.options.every), "Steps between two meetings of the replicas.")
          .at_least(1)
          .only("strategy", local));
  t.push_back(choice<Run>("outer", AT(parallel.options.outer),
                          Words<OuterStep>{{"average", OuterStep::kAverage},
                                           {"nesterov", OuterStep::kNesterov}},
                          "At a meeting: the replicas' mean, or a step with momentum along their "
                          "mean change (DiLoCo).")
                  .only("strategy", local));
  t.push_back(key("outer_lr", AT(parallel.options.outer_lr), "Learning rate of the outer step.")
                  .above(0)
                  .only("strategy", local));
  t.push_back(
      key("outer_momentum", AT(parallel.options.outer_momentum), "Momentum of the outer step.")
          .between(0, 1)
          .only("strategy", local));
  t.push_back(choice<Run>(
      "reduce", AT(parallel.options.reduce),
      Words<comm::ReduceKind>{{"fold", comm::ReduceKind::kFold}, {"mpi", comm::ReduceKind::kMpi}},
      "fold: the same bits on any number of ranks. mpi: MPI's own reduction, for comparison."));
  t.push_back(
      key("bucket_bytes", AT(parallel.options.bucket_bytes),
          "Gradients leave in buckets of about this size, in bytes. 0: chosen at start, from "
          "what is measured between nodes.")
          .between(0, 1 << 30));
  t.push_back(
      key("pretend_nodes", AT(parallel.pretend_nodes),
          "For tests of the path between nodes on one machine: the node of each rank, \"0,1,1\".")
          .checked([](const Value& v) {
            const auto& text = std::get<std::string>(v);
            if (text.find_first_not_of("0123456789,") != std::string::npos) {
              throw UserError(
                  "parallel.pretend_nodes = \"{}\" is not a list of node numbers; "
                  "write the node of each rank, as \"0,1,1\"",
                  text);
            }
          }));
  return t;
}

Table assignment_table() {
  using parallel::Assignment;
  Table t;
  t.push_back(choice<Run>("kind", AT(parallel.options.assignment),
                          Words<Assignment>{{"static", Assignment::kStatic},
                                            {"adaptive", Assignment::kAdaptive},
                                            {"queue", Assignment::kQueue}},
                          "Lanes are dealt evenly (static), by measured speed (adaptive), or taken "
                          "from slower ranks of the node as ranks become free (queue)."));
  t.push_back(key("extra", AT(parallel.options.extra),
                  "Lanes that a rank may take over from others in a step.")
                  .between(1, 1024)
                  .only("kind", {"queue"}));
  t.push_back(key("lease", AT(parallel.options.lease),
                  "Seconds after which work that a worker of an asynchronous server has not "
                  "returned is given to another.")
                  .above(0));
  return t;
}

Table precision_table() {
  Table t;
  t.push_back(choice<Run>(
      "leaf", AT(parallel.options.leaf),
      Words<comm::LeafType>{{"fp32", comm::LeafType::kFp32}, {"bf16", comm::LeafType::kBf16}},
      "Each lane's gradient may be rounded once before it is summed, and takes "
      "half the traffic where it travels alone; sums are fp32."));
  return t;
}

}  // namespace lockstep::config
