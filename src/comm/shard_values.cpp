#include "lockstep/comm/shard_values.h"

#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "mpi_call.h"
#include "mpi_communicator.h"
#include "owned_values.h"
#include "progress_thread.h"
#include "record_messages.h"
#include "wait.h"

namespace lockstep::comm {
namespace {

// One rank: it owns all.
class OwnValues final : public ShardValues {
 public:
  OwnValues(std::size_t blocks, int per_block)
      : per_block_(per_block), values_(blocks * static_cast<std::size_t>(per_block)) {}
  std::span<double> of(int block) override {
    return std::span(values_).subspan(static_cast<std::size_t>(block * per_block_), per_block_);
  }
  void share(std::int64_t) override {}
  std::int64_t bytes_sent() const override { return 0; }

 private:
  const int per_block_;
  std::vector<double> values_;
};

class GatheredValues final : public ShardValues {
 public:
  GatheredValues(MpiCommunicator& communicator, const Shards& shards, int per_block)
      : waiter_(communicator), per_block_(per_block), owned_(shards) {
    check_mpi(MPI_Comm_dup(communicator.world(), &messages_), "MPI_Comm_dup");
    values_ =
        std::make_unique<RecordMessages>(messages_, communicator.topology(), owned_.ranges,
                                         static_cast<std::size_t>(per_block) * sizeof(double));
  }
  ~GatheredValues() override { MPI_Comm_free(&messages_); }

  std::span<double> of(int block) override {
    return {reinterpret_cast<double*>(values_->record(owned_.place[block])),
            static_cast<std::size_t>(per_block_)};
  }
  void share(std::int64_t step) override {
    const Presence presence(waiter_.progress_thread());
    values_->start();
    waiter_.wait({"the blocks' values", -1, step}, [this] { return values_->test(); });
    bytes_sent_ += values_->bytes_per_step();
    events::sent("the blocks' values", values_->bytes_per_step());
  }
  std::int64_t bytes_sent() const override { return bytes_sent_; }

 private:
  Waiter& waiter_;
  const int per_block_;
  const OwnedValues owned_;
  MPI_Comm messages_ = MPI_COMM_NULL;
  std::unique_ptr<RecordMessages> values_;
  std::int64_t bytes_sent_ = 0;
};

}  // namespace

std::unique_ptr<ShardValues> make_shard_values(Communicator& communicator, const Shards& shards,
                                               int per_block) {
  LOCKSTEP_CHECK(shards.positions() == communicator.size(), "{} shards for {} ranks",
                 shards.positions(), communicator.size());
  if (auto* mpi = dynamic_cast<MpiCommunicator*>(&communicator))
    return std::make_unique<GatheredValues>(*mpi, shards, per_block);
  return std::make_unique<OwnValues>(shards.owners().size(), per_block);
}

}  // namespace lockstep::comm
