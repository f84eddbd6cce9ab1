#include "support/fold_driver.h"

#include <fmt/format.h>

#include <bit>
#include <chrono>
#include <cstring>
#include <thread>

#include "lockstep/comm/shards.h"
#include "support/tree_reference.h"

namespace lockstep::test {
namespace {

std::uint64_t mix(std::uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

double plain_sum_of_squares(const float* x, std::int64_t n) {
  double total = 0;
  for (std::int64_t i = 0; i < n; ++i) total += static_cast<double>(x[i]) * x[i];
  return total;
}

void plain_add(float* into, const float* a, const float* b, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) into[i] = a[i] + b[i];
}

void plain_round(float* into, const float* x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) into[i] = rounded_to_bf16(x[i]);
}

void run_bucket(comm::Fold& fold, const comm::FoldLayout& layout, int stream, std::int64_t lane,
                int b, std::int64_t step, bool delay) {
  float* const leaf = fold.leaf(stream, lane, b);
  const comm::Range& bucket = layout.buckets[b];
  for (const comm::Range& block : layout.blocks) {
    if (block.begin < bucket.begin || block.begin >= bucket.end) continue;
    for (std::int64_t e = block.begin; e < block.end; ++e) {
      leaf[e - bucket.begin] = invented(step, lane, e);
    }
  }
  if (delay) std::this_thread::sleep_for(std::chrono::microseconds(mix(step * 31 + b) % 300));
  fold.push(stream, lane, b);
}

void set_record(comm::Fold& fold, std::int64_t lane, std::int64_t step) {
  const InventedRecord record{step, lane, invented(step, lane, -1)};
  fold.set_record(lane, &record);
}

using LaneWork = std::function<void(int, std::int64_t)>;

void run_stream(comm::Fold& fold, const comm::FoldLayout& layout, int stream, std::int64_t step,
                bool delay, const LaneWork& work) {
  for (std::int64_t lane = fold.next(stream); lane >= 0; lane = fold.next(stream)) {
    if (work) work(stream, lane);
    for (int b = 0; b < static_cast<int>(layout.buckets.size()); ++b)
      run_bucket(fold, layout, stream, lane, b, step, delay);
    set_record(fold, lane, step);
  }
}

void run_streams(comm::Fold& fold, const comm::FoldLayout& layout, std::int64_t step, bool delay,
                 const LaneWork& work) {
  std::vector<std::thread> others;
  for (int stream = 1; stream < layout.streams; ++stream) {
    others.emplace_back([&, stream] { run_stream(fold, layout, stream, step, delay, work); });
  }
  run_stream(fold, layout, 0, step, delay, work);
  for (std::thread& thread : others) thread.join();
  fold.finish(step);
}

}  // namespace

comm::FoldLayout make_layout(const std::vector<std::int64_t>& sizes, std::int64_t bucket_elements,
                             std::int64_t lanes, int streams) {
  comm::FoldLayout layout;
  std::vector<comm::Range> parameters;
  for (const std::int64_t size : sizes) {
    const std::int64_t begin = layout.flat_elements;
    for (std::int64_t at = 0; at < size; at += 4096) {
      layout.blocks.push_back({begin + at, begin + std::min(size, at + 4096)});
    }
    layout.flat_elements += (size + 63) / 64 * 64;
    parameters.push_back({begin, layout.flat_elements});
  }
  std::int64_t end = layout.flat_elements;
  for (std::size_t i = parameters.size(); i-- > 0;) {
    if (end - parameters[i].begin >= bucket_elements || i == 0) {
      layout.buckets.push_back({parameters[i].begin, end});
      end = parameters[i].begin;
    }
  }
  layout.lanes = lanes;
  layout.streams = streams;
  layout.record_bytes = sizeof(InventedRecord);
  return layout;
}

comm::FoldArithmetic plain_arithmetic() { return {plain_add, plain_sum_of_squares, plain_round}; }

float invented(std::int64_t step, std::int64_t lane, std::int64_t element) {
  const std::uint64_t bits = mix(mix(mix(step) + lane) + element);
  if (bits % 8 == 0) return -0.0f;
  const auto exponent = static_cast<std::uint32_t>(127 - 30 + bits / 8 % 60);
  const auto sign = static_cast<std::uint32_t>(bits >> 40 & 1);
  return std::bit_cast<float>(sign << 31 | exponent << 23 | static_cast<std::uint32_t>(bits >> 41));
}

float rounded_to_bf16(float x) {
  int exponent = 0;
  const double fraction = std::frexp(static_cast<double>(x), &exponent);
  return static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8));
}

float expected_sum(std::int64_t step, std::int64_t lanes, std::int64_t element,
                   comm::LeafType leaf) {
  static thread_local std::vector<float> values;
  values.clear();
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    const float x = invented(step, lane, element);
    values.push_back(leaf == comm::LeafType::kBf16 ? rounded_to_bf16(x) : x);
  }
  return tree_sum(values);
}

void run_step(comm::Fold& fold, const comm::FoldLayout& layout, std::int64_t step, bool delay) {
  run_streams(fold, layout, step, delay, {});
}

void run_step(comm::Fold& fold, const comm::FoldLayout& layout, std::int64_t step,
              const LaneWork& work) {
  run_streams(fold, layout, step, false, work);
}

void run_step_in_turn(comm::Fold& fold, const comm::FoldLayout& layout, std::int64_t step) {
  for (bool any = true; any;) {
    any = false;
    std::vector<std::int64_t> lanes;
    for (int stream = 0; stream < layout.streams; ++stream) lanes.push_back(fold.next(stream));
    for (int b = 0; b < static_cast<int>(layout.buckets.size()); ++b) {
      for (int stream = 0; stream < layout.streams; ++stream) {
        if (lanes[stream] >= 0) run_bucket(fold, layout, stream, lanes[stream], b, step, false);
      }
    }
    for (const std::int64_t lane : lanes) {
      if (lane < 0) continue;
      set_record(fold, lane, step);
      any = true;
    }
  }
  fold.finish(step);
}

std::string check_step(const comm::Fold& fold, const comm::FoldLayout& layout, std::int64_t step,
                       const comm::Topology& topology) {
  std::vector<int> owners(layout.blocks.size(), topology.position);
  if (layout.sums == comm::SumsTo::kOwners)
    owners = comm::Shards(layout, topology.ranks()).owners();
  for (std::size_t i = 0; i < layout.blocks.size(); ++i) {
    const comm::Range& block = layout.blocks[i];
    const bool mine = owners[i] == topology.position;
    const float* const sum = mine ? fold.sum(static_cast<int>(i)) : nullptr;
    std::vector<float> expected;
    for (std::int64_t e = block.begin; e < block.end; ++e) {
      expected.push_back(expected_sum(step, layout.lanes, e, layout.leaf));
      if (!mine) continue;
      const float found = sum[e - block.begin];
      if (std::bit_cast<std::uint32_t>(found) != std::bit_cast<std::uint32_t>(expected.back())) {
        return fmt::format("step {}, block {}, element {}: {} instead of {}", step, i, e, found,
                           expected.back());
      }
    }
    const double value = fold.block_value(static_cast<int>(i));
    if (!(value == plain_sum_of_squares(expected.data(), block.size()))) {
      return fmt::format("step {}, block {}: sum of squares {}", step, i, value);
    }
  }
  for (std::int64_t lane = 0; lane < layout.lanes; ++lane) {
    InventedRecord record;
    std::memcpy(&record, fold.record(lane), sizeof record);
    const bool equal = record.step == step && record.lane == lane &&
                       record.loss == static_cast<double>(invented(step, lane, -1));
    if (!equal) return fmt::format("step {}: lane {} has another's record", step, lane);
  }
  return "";
}

}  // namespace lockstep::test
