#include "nn/staging.h"

#include <cstring>

namespace lockstep::nn {
namespace {

std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

Staging::Staging(Device& device, Stream& stream, float* device_input, const StagedSizes& sizes)
    : owner_(device),
      stream_(stream),
      device_input_(device_input),
      sizes_(sizes),
      key_at_(aligned(sizes.input)),
      labels_at_(key_at_ + aligned(sizeof(RandomKey))),
      targets_at_(labels_at_ + aligned(sizes.labels)),
      end_(targets_at_ + aligned(sizes.targets)),
      device_(device.allocate(end_ - key_at_, "labels and targets")),
      device_record_(device.allocate(sizeof(ops::LaneRecord), "loss and metrics")),
      host_records_(
          device.allocate_on_host(kRecords * sizeof(ops::LaneRecord), "loss and metrics")),
      output_(device.allocate_on_host(sizes.output, "logits")) {
  for (Inputs& place : inputs_) {
    place.host = device.allocate_on_host(end_, "inputs");
    place.taken = device.make_event();
  }
  for (Coming& record : coming_) record.here = device.make_event();
}

std::byte* Staging::filling() {
  Inputs& place = inputs_[filling_];
  if (place.sent) {
    place.taken->synchronize();
    place.sent = false;
  }
  return place.host.as<std::byte>();
}

float* Staging::input() { return reinterpret_cast<float*>(filling()); }
std::int32_t* Staging::labels() { return reinterpret_cast<std::int32_t*>(filling() + labels_at_); }
float* Staging::targets() { return reinterpret_cast<float*>(filling() + targets_at_); }

const std::int32_t* Staging::device_labels() const {
  return reinterpret_cast<const std::int32_t*>(device_.as<std::byte>() + (labels_at_ - key_at_));
}
const float* Staging::device_targets() const {
  return reinterpret_cast<const float*>(device_.as<std::byte>() + (targets_at_ - key_at_));
}

void Staging::send(const RandomKey& random) {
  std::byte* const from = filling();
  std::memcpy(from + key_at_, &random, sizeof(random));
  const std::size_t end = sizes_.classes ? targets_at_ : end_;
  owner_.copy(device_input_, from, sizes_.input, stream_);
  owner_.copy(device_.data(), from + key_at_, end - key_at_, stream_);
  inputs_[filling_].taken->record(stream_);
  inputs_[filling_].sent = true;
  filling_ = (filling_ + 1) % kInputs;
}

ops::LaneRecord* Staging::begin_record() {
  auto* const record = device_record_.as<ops::LaneRecord>();
  owner_.fill(record, 0, sizeof(*record), stream_);
  return record;
}

void Staging::end_record(ops::LaneRecord& to) {
  if (count_ == kRecords) add_oldest();
  const int place = (first_ + count_++) % kRecords;
  owner_.copy(host_records_.as<ops::LaneRecord>() + place, device_record_.data(),
              sizeof(ops::LaneRecord), stream_);
  coming_[place].to = &to;
  coming_[place].here->record(stream_);
}

void Staging::add_oldest() {
  Coming& record = coming_[first_];
  record.here->synchronize();
  *record.to = ops::add(*record.to, host_records_.as<ops::LaneRecord>()[first_]);
  first_ = (first_ + 1) % kRecords;
  --count_;
}

bool Staging::done() const {
  return count_ == 0 || coming_[(first_ + count_ - 1) % kRecords].here->done();
}

void Staging::finish() {
  while (count_ > 0) add_oldest();
  stream_.synchronize();
}

const float* Staging::fetch_output(const float* from) {
  owner_.copy(output_.data(), from, sizes_.output, stream_);
  stream_.synchronize();
  return output_.as<const float>();
}

std::size_t Staging::host_bytes() const {
  return kInputs * end_ + host_records_.bytes() + output_.bytes();
}

}  // namespace lockstep::nn
