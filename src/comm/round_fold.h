// Leaves::kInRounds: lanes go in rounds, and the owner of a shard takes the leaves in lane order. A
// rank keeps a ring of buckets for each stream and the partial sums of its shard, never a whole
// gradient. Progress is made by the thread that made the fold, whenever it pushes, waits for a leaf
// to be read, or asks for it; it starts work, looks what is there, and never waits.
#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "record_messages.h"
#include "round_adder.h"
#include "wait.h"

namespace lockstep::comm {

class RoundFold final : public Fold {
 public:
  // messages: a communicator of its own over all ranks, or MPI_COMM_NULL on one node. Leaves come
  // rounded where the arithmetic does not round.
  RoundFold(Waiter& waiter, std::unique_ptr<RoundPlan> plan, std::unique_ptr<SharedWindow> window,
            MPI_Comm messages, const FoldArithmetic& arithmetic, std::string path);
  ~RoundFold() override;

  std::int64_t next(int stream) override;
  std::vector<LaneRange> home(int stream) const override;
  float* leaf(int stream, std::int64_t lane, int bucket) override;
  void push(int stream, std::int64_t lane, int bucket) override;
  void progress() override;
  void set_record(std::int64_t lane, const void* record) override;
  void finish(std::int64_t step) override;
  const void* record(std::int64_t lane) const override { return record_place(lane, count_ - 1); }
  const float* sum(int block) const override { return adder_->sum(block); }
  double block_value(int block) const override;
  using Fold::release;
  void release() override { publish(memory_.released(local_), count_ - 1); }

  const FoldCounters& counters() const override { return counters_; }
  std::string path() const override { return path_; }
  std::size_t window_bytes() const override { return plan_->windows[local_].bytes; }
  std::size_t private_bytes() const override { return plan_->private_bytes(); }

  // For leaves that come from a device. Whether leaf() of this tick of a stream would not wait; by
  // any thread.
  bool leaf_is_free(int tick) const {
    return all_local(&RoundMemory::folded, freed(tick, plan_->ring));
  }
  // Before finish(): the sums of this rank's shard of the bucket are there.
  bool summed(int bucket) const { return taken_ > ticks_ - plan_->buckets() + bucket; }
  const RoundPlan& plan() const { return *plan_; }
  std::span<std::byte> leaf_pages() const { return memory_.leaf_pages(local_); }
  std::span<std::byte> store_pages() const { return adder_->store_pages(); }
  const float* sums() const { return adder_->sums(); }  // laid out by RoundPlan::shard_begin
  double folding() const { return folding_; }

 private:
  bool begin_step();
  bool may_fold(int tick);
  bool may_take(int tick);
  void fold_next();
  void take_next();
  bool all_local(Flag& (RoundMemory::*flag)(int) const, std::int64_t count) const;
  bool pushed(int tick, LaneRange lanes) const;
  // What a count of ticks must have reached where `tick` uses the place of `tick - places`.
  std::int64_t freed(int tick, int places) const {
    return ticks_before_ + (tick >= places ? tick - places + 1 : 0);
  }
  bool complete(int tick) const;
  int tick_of(int stream, std::int64_t lane, int bucket) const;
  void await_readers(int stream, int tick);
  template <class Ready>
  double serve_until(const Awaited& awaited, const Ready& ready);
  void publish_records();
  bool records_here();
  void send_values(std::int64_t step);
  void watch_flight();
  void end_step();
  std::byte* record_place(std::int64_t lane, std::int64_t step) const;

  Waiter& waiter_;
  const std::unique_ptr<RoundPlan> plan_;
  const RoundMemory memory_;
  MPI_Comm messages_;
  const FoldArithmetic arithmetic_;
  const std::string path_;
  const int local_, locals_, position_, ticks_;
  const std::thread::id own_thread_ = std::this_thread::get_id();
  std::optional<RoundExchange> exchange_;  // several nodes, as the next two
  std::optional<RecordMessages> record_messages_, value_messages_;
  std::optional<RoundAdder> adder_;
  std::vector<std::int64_t> peer_bytes_;  // by tick: read from peers' windows

  std::int64_t count_ = 1;         // steps begun, this one included
  std::int64_t ticks_before_ = 0;  // ticks of the steps before
  std::int64_t step_ = -1;
  bool begun_ = false;
  int folded_ = 0, taken_ = 0;  // ticks of this step
  int awaited_ = 0;
  std::atomic<std::int64_t> records_set_{0};
  bool records_published_ = false;
  double folding_ = 0;  // seconds of adding in the own thread
  double flight_since_ = 0, flight_folding_ = 0;
  struct alignas(64) StreamState {
    int round = 0;   // the next one
    int opened = 0;  // ticks whose leaf may be written
    int pushed = 0;
    double waited = 0, rounding = 0;
  };
  std::unique_ptr<StreamState[]> streams_;
  FoldCounters counters_;
};

}  // namespace lockstep::comm
