#include "dealt_fold.h"

#include <cstring>
#include <exception>

#include "moving_engine.h"

namespace lockstep::comm {
namespace {

// A window that goes on to live.
class LentWindow final : public SharedWindow {
 public:
  explicit LentWindow(const SharedWindow& window) : window_(window) {}
  std::byte* part(int local_rank) const override { return window_.part(local_rank); }
  std::size_t bytes(int local_rank) const override { return window_.bytes(local_rank); }

 private:
  const SharedWindow& window_;
};

FoldCounters sum_of(const FoldCounters& a, const FoldCounters& b) {
  FoldCounters sum = a;
  sum.bytes_sent += b.bytes_sent;
  sum.bytes_read_peers += b.bytes_read_peers;
  sum.wait.exposed += b.wait.exposed;
  sum.wait.hidden += b.wait.hidden;
  sum.fold_seconds += b.fold_seconds;
  return sum;
}

}  // namespace

DealtFold::DealtFold(Communicator& communicator, std::unique_ptr<FoldPlan> plan,
                     std::unique_ptr<SharedWindow> window, MPI_Comm messages,
                     const FoldArithmetic& arithmetic, std::string path)
    : communicator_(communicator),
      topology_(plan->topology),
      layout_(plan->layout),
      window_(std::move(window)),
      messages_(messages),
      arithmetic_(arithmetic),
      path_(std::move(path)),
      dealer_(topology_, layout_.lanes, layout_.streams),
      cuts_{plan->lanes, plan->lanes} {
  make(std::move(plan));
}

DealtFold::~DealtFold() {
  fold_.reset();
  if (std::uncaught_exceptions() == 0) MPI_Comm_free(&messages_);
}

void DealtFold::make(std::unique_ptr<FoldPlan> plan) {
  header_bytes_ = plan->windows[topology_.local()].slots;
  auto context = std::make_unique<FoldContext>(
      std::move(plan), std::make_unique<LentWindow>(*window_), nullptr, messages_, true);
  auto engine = std::make_unique<MovingEngine>(*context, arithmetic_);
  fold_ = std::make_unique<TreeFold>(dynamic_cast<Waiter&>(communicator_), std::move(context),
                                     std::move(engine), path_);
}

const LaneCuts* DealtFold::deal_between_nodes() {
  if (keeps_) return nullptr;
  if (announced_) {
    switch_cut();
    return &cuts_;
  }
  if (!dealer_.deal()) return nullptr;
  cuts_.next = dealer_.cut();
  announced_ = true;
  return &cuts_;
}

// Flags and claims count from nothing again. Peers look at them until all are here, and write to
// them as soon as they begin the next step.
void DealtFold::switch_cut() {
  communicator_.barrier();
  before_ = counters();
  moved_before_ = moves();
  ++moved_before_.node_deals;
  fold_.reset();
  std::memset(window_->part(topology_.local()), 0, header_bytes_);
  cuts_.now = cuts_.next;
  announced_ = false;
  make(std::make_unique<FoldPlan>(topology_, layout_, SumsIn::kHost, cuts_.now));
  dealer_.forget();
  communicator_.barrier();
}

void DealtFold::keep_lanes() {
  keeps_ = true;
  fold_->keep_lanes();
}

LaneMoves DealtFold::moves() const {
  const LaneMoves here = fold_->moves();
  return {moved_before_.run + here.run, moved_before_.taken + here.taken,
          moved_before_.deals + here.deals, moved_before_.node_deals};
}

void DealtFold::finish(std::int64_t step) {
  fold_->finish(step);
  for (std::int64_t lane = 0; lane < layout_.lanes; ++lane) {
    const LaneTime time = fold_->time(lane);
    dealer_.ran(time.position, time.nanoseconds);
  }
  dealer_.end_step();
}

const FoldCounters& DealtFold::counters() const {
  counters_ = sum_of(before_, fold_->counters());
  return counters_;
}

}  // namespace lockstep::comm
