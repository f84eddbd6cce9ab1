#include "parallel/ticket_sink.h"

#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/ops/flat_math.h"

namespace lockstep::parallel {
namespace {

std::size_t bytes_of(std::int64_t elements) {
  return static_cast<std::size_t>(elements) * sizeof(float);
}

}  // namespace

TicketSink::TicketSink(Device& device, const nn::Program& program, const BucketTable& buckets,
                       const Options& options, std::function<void()> look)
    : device_(device),
      table_(program.table()),
      buckets_(buckets),
      accumulate_(options.accumulate),
      round_(options.leaf == comm::LeafType::kBf16),
      look_(std::move(look)) {
  for (const Bucket& b : buckets.buckets) largest_ = std::max(largest_, b.range.size());
  if (!device.is_host()) {
    own_ = device.allocate(bytes_of(table_.flat_elements()), "a lane's gradients");
    copies_ = device.make_stream();
    brought_ = device.make_event();
    for (int b = 0; b < buckets.size(); ++b) marks_.push_back(device.make_event());
  }
  // A captured pass is known by where its gradients go: the last one, which marks what it has
  // written, has a place of its own.
  const std::int64_t addends = late() && accumulate_ > 2 ? 2 : 1;
  if (accumulate_ > 1)
    addends_ = device.allocate(bytes_of(addends * largest_), "a bucket of gradients");
}

// What still runs reads what is about to go.
TicketSink::~TicketSink() {
  if (!late()) return;
  try {
    copies_->synchronize();
  } catch (const Error&) {
  }
}

void TicketSink::begin(float* flat, std::int64_t micro) {
  flat_ = flat;
  micro_ = micro;
}

float* TicketSink::addend() const {
  const bool second = late() && accumulate_ > 2 && last_micro();
  return addends_.as<float>() + (second ? largest_ : 0);
}

float* TicketSink::address(int parameter) {
  const std::int64_t offset = table_[parameter].offset;
  if (micro_ == 0) return sum() + offset;
  return addend() + (offset - buckets_.buckets[buckets_.of[parameter]].range.begin);
}

void TicketSink::written(int first, int /*end*/, Stream& stream) {
  const int b = buckets_.of[first];
  const comm::Range range = buckets_.buckets[b].range;
  if (buckets_.buckets[b].first != first) return;
  float* const to = sum() + range.begin;
  if (micro_ > 0) ops::add(device_, to, to, addend(), range.size(), stream);
  if (!last_micro()) return;
  if (round_) ops::round_to_bf16(device_, to, to, range.size(), stream);
  if (late()) marks_[b]->record(stream);
}

void TicketSink::complete(int first, int /*end*/) {
  const int b = buckets_.of[first];
  if (buckets_.buckets[b].first != first) return;
  if (late() && last_micro()) {
    const comm::Range range = buckets_.buckets[b].range;
    marks_[b]->wait(*copies_);
    device_.copy(flat_ + range.begin, own_.as<float>() + range.begin, bytes_of(range.size()),
                 *copies_);
    brought_->record(*copies_);
  }
  if (look_) look_();
}

}  // namespace lockstep::parallel
