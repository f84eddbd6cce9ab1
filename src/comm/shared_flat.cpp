#include "lockstep/comm/shared_flat.h"

#include <exception>

#include "flat_buckets.h"
#include "flat_passes.h"
#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "mpi_call.h"
#include "mpi_communicator.h"
#include "node_split.h"
#include "progress_thread.h"
#include "wait.h"

namespace lockstep::comm {
namespace {

// All ranks, with messages of their own.
class OwnCommunicator {
 public:
  OwnCommunicator(Communicator& communicator, const Topology& topology) {
    if (topology.nodes() == 1) return;
    auto& mpi = dynamic_cast<MpiCommunicator&>(communicator);
    check_mpi(MPI_Comm_dup(mpi.world(), &own_), "MPI_Comm_dup");
  }
  ~OwnCommunicator() {
    if (own_ != MPI_COMM_NULL && std::uncaught_exceptions() == 0) MPI_Comm_free(&own_);
  }
  OwnCommunicator(const OwnCommunicator&) = delete;
  OwnCommunicator& operator=(const OwnCommunicator&) = delete;
  MPI_Comm get() const { return own_; }

 private:
  MPI_Comm own_ = MPI_COMM_NULL;
};

class NodeFlat final : public SharedFlat {
 public:
  NodeFlat(Communicator& communicator, const FlatLayout& layout, std::unique_ptr<FlatPlan> plan,
           Pages pages)
      : waiter_(dynamic_cast<Waiter&>(communicator)),
        plan_(std::move(plan)),
        memory_(*plan_, std::move(pages)),
        messages_(communicator, plan_->topology),
        buckets_(messages_.get(), *plan_, memory_),
        passes_(messages_.get(), *plan_, layout, memory_) {
    const auto move = [this] {
      buckets_.progress();
      passes_.progress();
    };
    waiter_.serve(this, move);
    if (thread_ != nullptr) thread_->attend(this, move);
  }
  ~NodeFlat() override {
    waiter_.leave(this);
    if (thread_ != nullptr) thread_->forget(this);
  }

  float* flat() const override { return memory_.flat(); }
  std::vector<std::span<std::byte>> pages() const override { return memory_.pages(); }
  const Shards& shards() const override { return plan_->shards; }
  void publish(int bucket, std::int64_t step) override;
  void await(int bucket, std::int64_t step) override;
  void begin_pass(int uses) override;
  void hold(int use, const float** out) override;
  void release(int use) override;
  void progress() override;
  const FlatCounters& counters() const override { return counters_; }
  std::size_t resident_bytes() const override { return plan_->resident_bytes(); }
  std::size_t gathered_bytes() const override { return plan_->gathered_bytes(); }

 private:
  // From here to the end of its life this rank does not compute.
  class Visit {
   public:
    explicit Visit(NodeFlat& flat);
    ~Visit();

    void then_outside() { presence_.then_outside(); }
    void then_inside() { presence_.then_inside(); }

   private:
    NodeFlat& flat_;
    Presence presence_;
  };
  template <class Ready>
  void wait(const char* what, int number, Ready ready) {
    counters_.wait.exposed += waiter_.wait({what, number, step_}, ready);
  }

  Waiter& waiter_;
  ProgressThread* const thread_ = waiter_.progress_thread();
  const std::unique_ptr<FlatPlan> plan_;
  const FlatMemory memory_;
  const OwnCommunicator messages_;
  FlatBuckets buckets_;
  FlatPasses passes_;
  FlatCounters counters_;
  std::int64_t step_ = -1;
  double flight_since_ = 0;  // messages were under way when this rank went to compute; 0: none
};

// Hidden: the time in which messages were under way while the rank computed. Their end is rounded
// up to the next visit.
NodeFlat::Visit::Visit(NodeFlat& flat) : flat_(flat), presence_(flat.thread_) {
  if (flat.flight_since_ > 0) flat.counters_.wait.hidden += seconds_now() - flat.flight_since_;
}

NodeFlat::Visit::~Visit() {
  flat_.counters_.bytes_sent = flat_.buckets_.bytes_sent() + flat_.passes_.bytes_sent();
  const bool flying = flat_.buckets_.flying() || flat_.passes_.flying();
  flat_.flight_since_ = flying ? seconds_now() : 0;
}

void NodeFlat::publish(int bucket, std::int64_t step) {
  Visit visit(*this);
  visit.then_outside();  // to update the next bucket
  step_ = step;
  buckets_.publish(bucket);
}

void NodeFlat::await(int bucket, std::int64_t step) {
  Visit visit(*this);
  step_ = step;
  LOCKSTEP_CHECK(buckets_.published(bucket), "bucket {} is awaited and not published", bucket);
  wait("the parameters of bucket", bucket, [&] {
    buckets_.progress();
    return buckets_.here(bucket);
  });
  if (bucket + 1 < static_cast<int>(plan_->buckets.size())) return;
  visit.then_inside();
  wait("the sending of parameters", -1, [this] { return buckets_.sent(); });
  buckets_.end_step();
}

void NodeFlat::begin_pass(int uses) {
  const events::Detail span(events::Kind::kWait, "bringing parameters");
  const Visit visit(*this);
  LOCKSTEP_CHECK(!plan_->whole, "the parameters are all here");
  passes_.begin(uses);
}

void NodeFlat::hold(int use, const float** out) {
  const events::Detail span(events::Kind::kWait, "bringing parameters", {.number = use});
  const Visit visit(*this);
  wait("the parameters of use", use, [&] {
    passes_.progress();
    return passes_.here(use);
  });
  passes_.held(use, out);
}

void NodeFlat::release(int use) {
  const events::Detail span(events::Kind::kWait, "bringing parameters", {.number = use});
  const Visit visit(*this);
  passes_.release(use);
  if (!passes_.all_released()) return;
  wait("the sending of a pass's parameters", -1, [this] { return passes_.sent(); });
  passes_.end();
}

void NodeFlat::progress() {
  const Visit visit(*this);
  buckets_.progress();
  passes_.progress();
}

}  // namespace

FlatBytes flat_bytes(const Topology& topology, const FlatLayout& layout) {
  const FlatPlan plan(topology, layout);
  return {plan.resident_bytes(), plan.gathered_bytes()};
}

std::unique_ptr<SharedFlat> make_shared_flat(Communicator& communicator, const FlatLayout& layout) {
  NodeSplit nodes(communicator);
  std::unique_ptr<FlatPlan> plan;
  Pages pages;
  do {
    plan = std::make_unique<FlatPlan>(nodes.topology(), layout);
  } while (!nodes.try_to([&] { pages = map_flat(communicator, *plan, nodes.here()); },
                         "Until then its ranks bring each other parameters by messages, which "
                         "takes more time and memory and gives the same bits"));
  return std::make_unique<NodeFlat>(communicator, layout, std::move(plan), std::move(pages));
}

}  // namespace lockstep::comm
