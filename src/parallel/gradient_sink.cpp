#include "parallel/gradient_sink.h"

#include <algorithm>

#include "lockstep/ops/flat_math.h"

namespace lockstep::parallel {

BucketTable::BucketTable(const nn::Program& program, std::int64_t bucket_bytes)
    : buckets(make_buckets(program.table(), program.runs(), bucket_bytes)),
      of(program.table().size()) {
  for (int b = 0; b < size(); ++b)
    std::fill(of.begin() + buckets[b].first, of.begin() + buckets[b].end, b);
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
  std::int64_t largest = 0;
  for (const Bucket& b : buckets.buckets) largest = std::max(largest, b.range.size());
  sum_ = device.allocate(static_cast<std::size_t>(table_.flat_elements()) * sizeof(float),
                         "the sum over accumulated microbatches");
  addend_ =
      device.allocate(static_cast<std::size_t>(largest) * sizeof(float), "a bucket of gradients");
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
  if (last_micro() && buckets_.buckets[bucket].first == first) fold_.push(stream_, lane_, bucket);
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
