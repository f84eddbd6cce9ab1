// Leads one stream's gradients to a fold. With accumulation the lane's microbatches are summed in
// order in a buffer of their own, and only the whole leaf is pushed (NUMERICS.md 10). Where passes
// are captured, a bucket's memory does not depend on when it is asked for.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/comm/fold.h"
#include "lockstep/device/device.h"
#include "lockstep/nn/program.h"
#include "lockstep/parallel/buckets.h"

namespace lockstep::parallel {

// The buckets of a program, and to which each parameter belongs.
struct BucketTable {
  // bucket_bytes 0: chosen; with a communicator (collective) by what lies between its nodes.
  BucketTable(const nn::Program& program, std::int64_t bucket_bytes);
  BucketTable(comm::Communicator& communicator, const nn::Program& program,
              std::int64_t bucket_bytes);
  // Buckets and blocks of the flat buffer; the rest is left to the strategy.
  comm::FoldLayout layout(const ParameterTable& table) const;
  int size() const { return static_cast<int>(buckets.size()); }
  std::string text() const;  // "5 buckets of 4 MiB (measured: 21 us, 8.1 GB/s between nodes)"

  std::vector<Bucket> buckets;
  std::vector<int> of;  // parameter -> bucket

 private:
  BucketTable(const nn::Program& program, std::int64_t bucket_bytes, const comm::Links& links);

  std::int64_t bucket_bytes_;
  comm::Links links_;  // zero: not measured
};

class GradientSink final : public nn::GradientSink {
 public:
  GradientSink(Device& device, const nn::Program& program, const BucketTable& buckets,
               comm::Fold& fold, int stream, std::int64_t accumulate);

  // The next pass is accumulation `micro` of this lane.
  void begin(std::int64_t lane, std::int64_t micro);
  // The next leaf of this sink goes out with a number that is wrong: a failure on purpose. Where
  // the leaf lies in the host's memory.
  void damage(bool flip) { damage_ = flip ? Damage::kFlip : Damage::kNan; }
  float* address(int parameter) override;
  void written(int first, int end, Stream& stream) override;
  void complete(int first, int end) override;

  // Of one sink, and before it is made.
  std::size_t bytes() const { return sum_.bytes() + addend_.bytes(); }
  static std::size_t bytes(const ParameterTable& table, const BucketTable& buckets,
                           std::int64_t accumulate);

 private:
  enum class Damage : std::uint8_t { kNone, kNan, kFlip };
  bool last_micro() const { return micro_ + 1 == accumulate_; }
  float* leaf(int bucket) const { return fold_.leaf(stream_, lane_, bucket); }
  void enter(int bucket);

  Device& device_;
  const nn::Program& program_;
  const ParameterTable& table_;
  const BucketTable& buckets_;
  comm::Fold& fold_;
  const int stream_;
  const std::int64_t accumulate_;
  std::int64_t lane_ = 0, micro_ = 0;
  int bucket_ = -1;
  float* base_ = nullptr;
  Damage damage_ = Damage::kNone;
  Buffer sum_, addend_;
};

}  // namespace lockstep::parallel
