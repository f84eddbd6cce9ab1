#include "parallel/gradient_sink.h"

#include <fmt/format.h>

#include <algorithm>

#include "lockstep/core/events.h"
#include "lockstep/core/fault.h"
#include "lockstep/core/units.h"
#include "lockstep/ops/flat_math.h"

namespace lockstep::parallel {

namespace {

std::int64_t size_of_buckets(const ParameterTable& table, std::int64_t wanted,
                             const comm::Links& links) {
  const auto gradient = table.flat_elements() * static_cast<std::int64_t>(sizeof(float));
  return wanted > 0 ? wanted : choose_bucket_bytes(links, gradient);
}

// Buckets are powers of two unless a run file says otherwise.
std::string size_text(std::int64_t bytes) {
  if (bytes % (1 << 20) == 0) return fmt::format("{} MiB", bytes >> 20);
  if (bytes % (1 << 10) == 0) return fmt::format("{} KiB", bytes >> 10);
  return bytes_text(static_cast<double>(bytes));
}

std::string two_digits(double x) { return fmt::format("{:.{}f}", x, x < 9.95 ? 1 : 0); }

}  // namespace

BucketTable::BucketTable(const nn::Program& program, std::int64_t bucket_bytes,
                         const comm::Links& links)
    : of(program.table().size()),
      bucket_bytes_(size_of_buckets(program.table(), bucket_bytes, links)),
      links_(links) {
  buckets = make_buckets(program.table(), program.runs(), bucket_bytes_);
  for (int b = 0; b < size(); ++b)
    std::fill(of.begin() + buckets[b].first, of.begin() + buckets[b].end, b);
}

BucketTable::BucketTable(const nn::Program& program, std::int64_t bucket_bytes)
    : BucketTable(program, bucket_bytes, comm::Links{}) {}

BucketTable::BucketTable(comm::Communicator& communicator, const nn::Program& program,
                         std::int64_t bucket_bytes)
    : BucketTable(program, bucket_bytes,
                  bucket_bytes > 0 ? comm::Links{} : comm::measure_links(communicator)) {}

std::string BucketTable::text() const {
  std::string text =
      fmt::format("{} bucket{} of {}", size(), size() == 1 ? "" : "s", size_text(bucket_bytes_));
  if (links_.bandwidth > 0) {
    text += fmt::format(" (measured: {} us, {} GB/s between nodes)",
                        two_digits(links_.latency * 1e6), two_digits(links_.bandwidth * 1e-9));
  }
  return text;
}

comm::FoldLayout BucketTable::layout(const ParameterTable& table) const {
  comm::FoldLayout layout;
  layout.flat_elements = table.flat_elements();
  for (const Bucket& b : buckets) layout.buckets.push_back(b.range);
  for (const Block& block : table.blocks())
    layout.blocks.push_back({block.begin, block.begin + block.elements});
  return layout;
}

GradientSink::GradientSink(Device& device, const nn::Program& program, const BucketTable& buckets,
                           comm::Fold& fold, int stream, std::int64_t accumulate)
    : device_(device),
      program_(program),
      table_(program.table()),
      buckets_(buckets),
      fold_(fold),
      stream_(stream),
      accumulate_(accumulate) {
  if (accumulate == 1) return;
  const std::size_t sum = static_cast<std::size_t>(table_.flat_elements()) * sizeof(float);
  sum_ = device.allocate(sum, "the sum over accumulated microbatches");
  addend_ = device.allocate(bytes(table_, buckets, accumulate) - sum, "a bucket of gradients");
}

std::size_t GradientSink::bytes(const ParameterTable& table, const BucketTable& buckets,
                                std::int64_t accumulate) {
  if (accumulate == 1) return 0;
  std::int64_t largest = 0;
  for (const Bucket& b : buckets.buckets) largest = std::max(largest, b.range.size());
  return static_cast<std::size_t>(table.flat_elements() + largest) * sizeof(float);
}

void GradientSink::begin(std::int64_t lane, std::int64_t micro) {
  lane_ = lane;
  micro_ = micro;
  bucket_ = -1;
  if (last_micro()) fold_.open(stream_, program_.stream(stream_));
}

float* GradientSink::address(int parameter) {
  enter(buckets_.of[parameter]);
  return base_ + (table_[parameter].offset - buckets_.buckets[bucket_].range.begin);
}

void GradientSink::written(int first, int /*end*/, Stream& stream) {
  const int bucket = buckets_.of[first];
  if (buckets_.buckets[bucket].first != first) return;
  const comm::Range range = buckets_.buckets[bucket].range;
  if (micro_ > 0) {
    float* const sum = sum_.as<float>() + range.begin;
    float* const addend = last_micro() ? leaf(bucket) : addend_.as<float>();
    ops::add(device_, last_micro() ? addend : sum, sum, addend, range.size(), stream);
  }
  if (last_micro()) fold_.mark(stream_, bucket, stream);
}

void GradientSink::complete(int first, int /*end*/) {
  const int bucket = buckets_.of[first];
  if (!last_micro() || buckets_.buckets[bucket].first != first) return;
  if (damage_ != Damage::kNone) [[unlikely]] {
    float& element = leaf(bucket)[table_[first].offset - buckets_.buckets[bucket].range.begin];
    element = fault::damaged(element, damage_ == Damage::kFlip, 30);  // of the exponent
    damage_ = Damage::kNone;
  }
  const comm::Range range = buckets_.buckets[bucket].range;
  const events::Detail span(
      events::Kind::kFold, "handing over bucket",
      {.number = bucket, .bytes = static_cast<std::uint64_t>(range.size()) * sizeof(float)});
  fold_.push(stream_, lane_, bucket);
}

void GradientSink::enter(int bucket) {
  if (bucket == bucket_) return;
  bucket_ = bucket;
  if (last_micro()) {
    base_ = leaf(bucket);
  } else if (micro_ == 0) {
    base_ = sum_.as<float>() + buckets_.buckets[bucket].range.begin;
  } else {
    base_ = addend_.as<float>();
  }
}

}  // namespace lockstep::parallel
