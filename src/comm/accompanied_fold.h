// A fold that a ProgressThread moves forward while lanes run: from next(), which gives the own
// thread a lane, to finish() that thread is outside whenever it is in none of these calls. Other
// threads' streams go past it, as they are meant to run beside progress().
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "lockstep/comm/fold.h"
#include "progress_thread.h"

namespace lockstep::comm {

// Passes on every call of Fold.
class AccompaniedFold final : public Fold {
 public:
  AccompaniedFold(ProgressThread& thread, std::unique_ptr<Fold> fold);
  ~AccompaniedFold() override;

  std::int64_t next(int stream) override;
  std::vector<LaneRange> home(int stream) const override { return fold_->home(stream); }
  void keep_lanes() override { fold_->keep_lanes(); }
  const LaneCuts* deal_between_nodes() override;
  LaneMoves moves() const override { return fold_->moves(); }
  float* leaf(int stream, std::int64_t lane, int bucket) override;
  void open(int stream, Stream& work) override;
  void mark(int stream, int bucket, Stream& work) override;
  void push(int stream, std::int64_t lane, int bucket) override;
  void progress() override;
  void set_record(std::int64_t lane, const void* record) override;
  void finish(std::int64_t step) override;
  const void* record(std::int64_t lane) const override { return fold_->record(lane); }
  const float* sum(int block) const override { return fold_->sum(block); }
  double block_value(int block) const override { return fold_->block_value(block); }
  void release() override;
  void release(Stream& work) override;
  const FoldCounters& counters() const override { return fold_->counters(); }
  std::size_t window_bytes() const override { return fold_->window_bytes(); }
  std::size_t private_bytes() const override { return fold_->private_bytes(); }
  std::size_t device_bytes() const override { return fold_->device_bytes(); }
  std::string path() const override { return fold_->path(); }

 private:
  ProgressThread& thread_;
  std::unique_ptr<Fold> fold_;
};

}  // namespace lockstep::comm
