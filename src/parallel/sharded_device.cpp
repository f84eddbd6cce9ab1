#include "parallel/sharded_device.h"

#include <thread>

namespace lockstep::parallel {
namespace {

std::size_t bytes_of(std::int64_t elements) {
  return static_cast<std::size_t>(elements) * sizeof(float);
}

}  // namespace

ShardedDevice::ShardedDevice(Device& device, nn::Program& program, const BucketTable& buckets,
                             comm::SharedFlat& flat, comm::Fold& fold, int position,
                             const std::vector<BlockRun>* shard)
    : device_(device),
      program_(program),
      buckets_(buckets),
      flat_(flat),
      fold_(fold),
      shard_(shard),
      data_(device.allocate(
          bytes_of(all_here() ? program.table().flat_elements() : packed_elements(*shard)),
          "parameters")) {
  const std::vector<Block>& blocks = program.table().blocks();
  for (int b = 0; b < buckets.size(); ++b) {
    const std::vector<int>& cut = flat.shards().cut(b);
    Part& part = parts_.emplace_back();
    down_.push_back(device.make_event());
    if (cut[position] == cut[position + 1]) continue;
    const Block& last = blocks[cut[position + 1] - 1];
    part.begin = blocks[cut[position]].begin;
    part.elements = last.begin + last.elements - part.begin;
    part.at = all_here() ? part.begin : packed_place(*shard, part.begin);
  }
  for (const auto& pages : flat.pages()) pinned_.emplace_back(device, pages);
}

void ShardedDevice::wait(Event& event) {
  while (!event.done()) {
    fold_.progress();
    flat_.progress();
    std::this_thread::yield();
  }
}

void ShardedDevice::copy_up(std::int64_t begin, std::int64_t end, Stream& stream) {
  if (end > begin)
    device_.copy(data() + begin, flat_.flat() + begin, bytes_of(end - begin), stream);
}

void ShardedDevice::bring_updated(std::int64_t step) {
  Stream& stream = program_.stream(0);
  for (int b = 0; b < buckets_.size(); ++b) {
    const Part& part = parts_[b];
    if (part.elements == 0) continue;
    device_.copy(flat_.flat() + part.begin, data() + part.at, bytes_of(part.elements), stream);
    down_[b]->record(stream);
  }
  for (int b = 0; b < buckets_.size(); ++b) {
    if (parts_[b].elements > 0) wait(*down_[b]);
    flat_.publish(b, step);
  }
  // Owners write their blocks again when this rank's next gradient, or its silence, has shown that
  // the copies are done.
  for (int b = 0; b < buckets_.size(); ++b) {
    flat_.await(b, step);
    if (!all_here()) continue;
    const comm::Range bucket = buckets_.buckets[b].range;
    const Part& part = parts_[b];
    if (part.elements == 0) {
      copy_up(bucket.begin, bucket.end, stream);
    } else {
      copy_up(bucket.begin, part.begin, stream);
      copy_up(part.end(), bucket.end, stream);
    }
  }
  if (all_here()) program_.pack();
}

void ShardedDevice::bring_restored() {
  Stream& stream = program_.stream(0);
  for (int b = 0; b < buckets_.size(); ++b) flat_.publish(b, 0);
  for (int b = 0; b < buckets_.size(); ++b) {
    flat_.await(b, 0);
    const comm::Range bucket = buckets_.buckets[b].range;
    const Part& part = parts_[b];
    if (all_here()) {
      copy_up(bucket.begin, bucket.end, stream);
    } else if (part.elements > 0) {
      device_.copy(data() + part.at, flat_.flat() + part.begin, bytes_of(part.elements), stream);
    }
  }
  if (all_here()) program_.pack();
}

}  // namespace lockstep::parallel
