#include "lockstep/comm/fold.h"

#include "accompanied_fold.h"
#include "dealt_fold.h"
#include "device_engine.h"
#include "device_messages.h"
#include "host_engine.h"
#include "lockstep/core/error.h"
#include "lockstep/core/log.h"
#include "moving_engine.h"
#include "mpi_call.h"
#include "mpi_communicator.h"
#include "mpi_sum.h"
#include "node_split.h"
#include "round_device_fold.h"
#include "shared_window.h"
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

SumsIn sums_in(const Topology& topology, bool on_device, bool device_messages) {
  if (!on_device) return SumsIn::kHost;
  return topology.nodes() == 1 || device_messages ? SumsIn::kDevice : SumsIn::kStaged;
}

constexpr const char* kMeanwhile =
    "Until then its ranks sum by messages, which is slower and gives the same bits";

std::unique_ptr<SharedWindow> window_of(Communicator& communicator, const NodeSplit& nodes,
                                        std::size_t bytes) {
  if (nodes.here()) return std::make_unique<PrivateWindow>(bytes);
  return communicator.make_window(bytes, "the gradient windows");
}

// Makes the plan, the windows and the devices' memory. What a node cannot have, its ranks do
// without: it is split into nodes of one rank each, until everything fits.
class Placement {
 public:
  Placement(Communicator& communicator, const FoldLayout& layout, Device* device)
      : communicator_(communicator),
        layout_(layout),
        device_(device),
        real_(communicator.topology()),
        nodes_(communicator),
        messages_(real_.ranks() > 1 ? own_communicator(communicator) : MPI_COMM_NULL),
        device_messages_(device != nullptr && real_.ranks() > 1 &&
                         communicator.min(mpi_claims_device_memory() ? 1 : 0) == 1) {
    while (!(make_window() && make_devices())) {
    }
  }

  std::unique_ptr<FoldContext> context() {
    if (!plan_->several_nodes() && messages_ != MPI_COMM_NULL) MPI_Comm_free(&messages_);
    return std::make_unique<FoldContext>(std::move(plan_), std::move(window_), std::move(devices_),
                                         messages_);
  }
  std::string path() const;
  bool deals_between_nodes() const { return plan_->deals_between_nodes(); }
  std::unique_ptr<Fold> dealt_fold(const FoldArithmetic& arithmetic) {
    std::string how = path();
    return std::make_unique<DealtFold>(communicator_, std::move(plan_), std::move(window_),
                                       messages_, arithmetic, std::move(how));
  }

 private:
  bool make_window();
  bool make_devices();

  Communicator& communicator_;
  const FoldLayout& layout_;
  Device* const device_;
  const Topology& real_;
  NodeSplit nodes_;
  MPI_Comm messages_;
  bool device_messages_;
  std::string no_peers_;  // why
  std::unique_ptr<FoldPlan> plan_;
  std::unique_ptr<SharedWindow> window_;
  std::unique_ptr<DeviceWindows> devices_;
};

// /dev/shm may be too small.
bool Placement::make_window() {
  const Topology topology = nodes_.topology();
  plan_ = std::make_unique<FoldPlan>(topology, layout_,
                                     sums_in(topology, device_ != nullptr, device_messages_));
  const std::size_t bytes = plan_->windows[topology.local()].bytes;
  return nodes_.try_to([&] { window_ = window_of(communicator_, nodes_, bytes); }, kMeanwhile);
}

// Devices may not reach each other's memory, and MPI may not take it.
bool Placement::make_devices() {
  if (device_ == nullptr) return true;
  const Topology& topology = plan_->topology;
  const bool too_wide =
      plan_->owner_nodes.size() > kTreeSources || plan_->canonical(topology.node()) > kTreeOuts;
  if (device_messages_ && plan_->several_nodes() && communicator_.max(too_wide ? 1 : 0) == 1) {
    device_messages_ = false;
    return false;
  }
  communicator_.together([&] {
    devices_ = std::make_unique<DeviceWindows>(*device_, plan_->devices[topology.local()].bytes);
  });
  const std::string refusal = devices_->open_peers(communicator_, topology);
  const std::int64_t first = communicator_.min(refusal.empty() ? real_.ranks() : real_.position);
  if (first < real_.ranks()) {
    no_peers_ = broadcast_text(communicator_, refusal, real_.rank_at[first]);
    devices_->close_peers();
    nodes_.split(!refusal.empty());
    log::warn(
        "the devices of a node do not reach each other's memory ({}); its ranks sum by "
        "messages, which is slower and gives the same bits",
        no_peers_);
  } else if (!plan_->several_nodes() || !device_messages_ ||
             device_messages_arrive(communicator_, messages_, topology, *devices_)) {
    return true;
  } else {
    log::warn(
        "MPI says that it takes device memory, but a trial message did not arrive; messages "
        "go through pinned memory of the host");
    device_messages_ = false;
  }
  communicator_.barrier();  // nobody has the others' memory mapped
  devices_.reset();
  return false;
}

std::string path_text(const Topology& topology, const char* on_node, const char* between) {
  bool peers = false;
  for (int node = 0; node < topology.nodes(); ++node)
    peers |= topology.node_begin[node + 1] - topology.node_begin[node] > 1;
  std::string path;
  if (topology.ranks() == 1) return "one rank";
  if (peers) path = on_node;
  if (topology.nodes() > 1) path += (peers ? ", between nodes " : "") + std::string(between);
  return path;
}

constexpr const char* kWindows = "shared windows";
constexpr const char* kMessages = "messages";

std::string Placement::path() const {
  const bool host = device_ == nullptr;
  const std::string path = path_text(plan_->topology, host ? kWindows : "peers by CUDA IPC",
                                     host               ? kMessages
                                     : device_messages_ ? "messages from device memory"
                                                        : "pinned staging");
  return no_peers_.empty() ? path : path + " (" + no_peers_ + ")";
}

std::unique_ptr<Fold> make_round_fold(Communicator& communicator, const FoldLayout& layout,
                                      FoldArithmetic arithmetic, const FoldDevice& device) {
  NodeSplit nodes(communicator);
  std::unique_ptr<RoundPlan> plan;
  std::unique_ptr<SharedWindow> window;
  do {
    const Topology topology = nodes.topology();
    plan = std::make_unique<RoundPlan>(topology, layout);
    window.reset();
  } while (!nodes.try_to(
      [&] { window = window_of(communicator, nodes, plan->windows[plan->topology.local()].bytes); },
      kMeanwhile));
  const MPI_Comm messages = plan->several_nodes() ? own_communicator(communicator) : MPI_COMM_NULL;
  std::string path = path_text(
      plan->topology, device.device == nullptr ? kWindows : "pinned shared windows", kMessages);
  if (device.device != nullptr) arithmetic.round_to_bf16 = nullptr;  // the device does
  auto& waiter = dynamic_cast<Waiter&>(communicator);
  auto fold = std::make_unique<RoundFold>(waiter, std::move(plan), std::move(window), messages,
                                          arithmetic, std::move(path));
  if (device.device == nullptr) return fold;
  return std::make_unique<RoundDeviceFold>(waiter, device, std::move(fold));
}

// What only the host can do so far, and what MPI_Iallreduce cannot.
void refuse_combinations(const FoldLayout& layout, ReduceKind kind, bool on_device) {
  const bool moves = layout.dealing != Dealing::kFixed;
  if (moves && kind == ReduceKind::kMpi)
    throw UserError(
        "assignment.kind moves lanes between ranks, and parallel.reduce = \"mpi\" knows no lanes; "
        "use assignment.kind = \"static\", or parallel.reduce = \"fold\"");
  if (moves && on_device)
    throw UserError(
        "assignment.kind other than \"static\" does not go with run.device = \"cuda\" yet; use "
        "assignment.kind = \"static\"");
  if (moves && layout.leaves == Leaves::kInRounds)
    throw UserError(
        "assignment.kind moves lanes between ranks, and parallel.stage = 2 and 3 take them in "
        "rounds that no rank may leave; use assignment.kind = \"static\", or parallel.stage = 1");
  if (kind == ReduceKind::kMpi && on_device)
    throw UserError(
        "parallel.reduce = \"mpi\" adds in the host's memory and does not go with run.device = "
        "\"cuda\"; use parallel.reduce = \"fold\", or run.device = \"cpu\" to compare them");
  if (kind == ReduceKind::kMpi && layout.leaf == LeafType::kBf16)
    throw UserError(
        "precision.leaf = \"bf16\" rounds each lane's gradient, and parallel.reduce = \"mpi\" "
        "knows no lanes; use precision.leaf = \"fp32\", or parallel.reduce = \"fold\"");
}

}  // namespace

FoldBytes fold_bytes(const Topology& topology, const FoldLayout& layout, ReduceKind kind,
                     bool on_device) {
  if (kind == ReduceKind::kMpi) return {0, MpiSum::private_bytes(topology, layout), 0};
  if (layout.leaves == Leaves::kInRounds) {
    const RoundPlan plan(topology, layout);
    return {plan.windows[topology.local()].bytes, plan.private_bytes(),
            on_device ? RoundDeviceFold::device_bytes(plan) : 0};
  }
  const FoldPlan plan(topology, layout, sums_in(topology, on_device, false));
  return {plan.windows[topology.local()].bytes, plan.private_bytes(), plan.device_bytes()};
}

namespace {

std::unique_ptr<Fold> make_alone(Communicator& communicator, const FoldLayout& layout,
                                 const FoldArithmetic& arithmetic, ReduceKind kind,
                                 const FoldDevice& device) {
  LOCKSTEP_CHECK(arithmetic.add != nullptr && arithmetic.sum_of_squares != nullptr,
                 "the fold needs its arithmetic");
  LOCKSTEP_CHECK((device.device == nullptr) == (device.arithmetic == nullptr),
                 "a device folds with its own arithmetic");
  auto& waiter = dynamic_cast<Waiter&>(communicator);
  refuse_combinations(layout, kind, device.device != nullptr);
  LOCKSTEP_CHECK(layout.leaf == LeafType::kFp32 || arithmetic.round_to_bf16 != nullptr,
                 "the fold cannot round its leaves");
  if (kind == ReduceKind::kMpi) {
    return std::make_unique<MpiSum>(waiter, communicator.topology(), layout, arithmetic,
                                    own_communicator(communicator));
  }
  if (layout.leaves == Leaves::kInRounds) {
    return make_round_fold(communicator, layout, arithmetic, device);
  }
  Placement placement(communicator, layout, device.device);
  if (placement.deals_between_nodes()) return placement.dealt_fold(arithmetic);
  std::string path = placement.path();
  auto context = placement.context();
  std::unique_ptr<FoldEngine> engine;
  if (device.device == nullptr) {
    if (context->claims) {
      engine = std::make_unique<MovingEngine>(*context, arithmetic);
    } else {
      engine = std::make_unique<HostEngine>(*context, arithmetic);
    }
  } else {
    engine = std::make_unique<DeviceEngine>(*context, device, arithmetic);
  }
  return std::make_unique<TreeFold>(waiter, std::move(context), std::move(engine), std::move(path));
}

}  // namespace

std::unique_ptr<Fold> make_fold(Communicator& communicator, const FoldLayout& layout,
                                const FoldArithmetic& arithmetic, ReduceKind kind,
                                const FoldDevice& device) {
  auto fold = make_alone(communicator, layout, arithmetic, kind, device);
  ProgressThread* const thread = dynamic_cast<Waiter&>(communicator).progress_thread();
  if (thread == nullptr || device.device != nullptr) return fold;
  return std::make_unique<AccompaniedFold>(*thread, std::move(fold));
}

}  // namespace lockstep::comm
