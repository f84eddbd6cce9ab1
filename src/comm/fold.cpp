#include "lockstep/comm/fold.h"

#include "lockstep/core/error.h"
#include "lockstep/core/log.h"
#include "mpi_call.h"
#include "mpi_communicator.h"
#include "mpi_sum.h"
#include "shared_window.h"
#include "topology.h"
#include "tree_fold.h"

namespace lockstep::comm {
namespace {

MPI_Comm own_communicator(Communicator& communicator) {
  MPI_Comm own = MPI_COMM_NULL;
  if (auto* mpi = dynamic_cast<MpiCommunicator*>(&communicator)) {
    check_mpi(MPI_Comm_dup(mpi->world(), &own), "MPI_Comm_dup");
  }
  return own;
}

struct Placement {
  std::unique_ptr<FoldPlan> plan;
  std::unique_ptr<SharedWindow> window;
};

// Plans, and makes the windows; nodes whose /dev/shm is too small are split into nodes of one rank
// each, until everything fits.
Placement place(Communicator& communicator, const FoldLayout& layout) {
  const Topology& real = communicator.topology();
  std::vector<bool> split(real.nodes(), false);
  for (;;) {
    Placement placement;
    placement.plan = std::make_unique<FoldPlan>(split_nodes(real, split), layout);
    const std::size_t bytes = placement.plan->windows[placement.plan->topology.local()].bytes;
    std::string refusal;
    try {
      placement.window = split[real.node()]
                             ? std::make_unique<PrivateWindow>(bytes)
                             : communicator.make_window(bytes, "the gradient windows");
    } catch (const UserError& error) {
      refusal = error.what();
    }
    const bool refused = !refusal.empty();
    const std::int64_t first = communicator.min(refused ? real.position : real.ranks());
    if (first == real.ranks()) return placement;
    // A rank alone on its node, or on a node that is split already, has no other way.
    const bool hopeless = refused && (split[real.node()] || real.local_ranks() == 1);
    communicator.together([&] {
      if (hopeless) throw UserError("{}", refusal);
    });
    const auto flags = communicator.gather_all(std::as_bytes(std::span(&refused, 1)));
    for (int position = 0; position < real.ranks(); ++position) {
      if (std::to_integer<int>(flags[position]) != 0) split[real.node_of[position]] = true;
    }
    log::warn("{}. Until then its ranks sum by messages, which is slower and gives the same bits",
              broadcast_text(communicator, refusal, real.rank_at[first]));
  }
}

}  // namespace

FoldBytes fold_bytes(const Topology& topology, const FoldLayout& layout, ReduceKind kind) {
  if (kind == ReduceKind::kMpi) return {0, MpiSum::private_bytes(topology, layout)};
  const FoldPlan plan(topology, layout);
  return {plan.windows[topology.local()].bytes, plan.private_bytes()};
}

std::unique_ptr<Fold> make_fold(Communicator& communicator, const FoldLayout& layout,
                                const FoldArithmetic& arithmetic, ReduceKind kind) {
  LOCKSTEP_CHECK(arithmetic.add != nullptr && arithmetic.sum_of_squares != nullptr,
                 "the fold needs its arithmetic");
  auto& waiter = dynamic_cast<Waiter&>(communicator);
  if (kind == ReduceKind::kMpi) {
    return std::make_unique<MpiSum>(waiter, communicator.topology(), layout, arithmetic,
                                    own_communicator(communicator));
  }
  Placement placement = place(communicator, layout);
  const bool several = placement.plan->several_nodes();
  return std::make_unique<TreeFold>(waiter, std::move(placement.plan), std::move(placement.window),
                                    arithmetic,
                                    several ? own_communicator(communicator) : MPI_COMM_NULL);
}

}  // namespace lockstep::comm
