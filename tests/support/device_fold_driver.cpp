#include "support/device_fold_driver.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <thread>

#include "support/fold_driver.h"

namespace lockstep::test {
namespace {

// The order of ops::sum_of_squares: 16 accumulators, lanes i and i + 8, i + 4, i + 2, i + 1.
double sum_of_squares(const float* x, std::int64_t n) {
  double total[16] = {};
  for (std::int64_t i = 0; i < n; ++i) total[i % 16] += static_cast<double>(x[i]) * x[i];
  for (int distance = 8; distance > 0; distance /= 2) {
    for (int i = 0; i < distance; ++i) total[i] += total[i + distance];
  }
  return total[0];
}

}  // namespace

DeviceFoldDriver::DeviceFoldDriver(comm::Fold& fold, const comm::FoldLayout& layout, Device& device,
                                   const DriveOptions& options)
    : fold_(fold),
      layout_(layout),
      device_(device),
      options_(options),
      reader_(device.make_stream()) {
  const std::size_t bytes = static_cast<std::size_t>(layout.flat_elements) * sizeof(float);
  for (int s = 0; s < layout.streams; ++s) {
    Lanes& lanes = streams_.emplace_back();
    lanes.work = device.make_stream();
    lanes.input = device.allocate(bytes, "a lane's gradient");
    for (const comm::LaneRange& range : fold.home(s)) {
      for (std::int64_t lane = range.begin; lane < range.end; ++lane) {
        lanes.lanes.push_back(lane);
        lanes.staging.push_back(device.allocate_on_host(bytes, "a lane's gradient"));
      }
    }
    if (!options.captured || lanes.lanes.empty()) continue;
    lanes.work->begin_capture();
    give_leaves(s, lanes.lanes.front(), lanes.input.as<float>());
    lanes.graph = lanes.work->end_capture();
  }
  for (Read& read : reads_) {
    read.sums = device.allocate_on_host(bytes, "sums");
    read.values.resize(layout.blocks.size());
    read.records.resize(static_cast<std::size_t>(layout.lanes) * layout.record_bytes);
    read.here = device.make_event();
  }
}

DeviceFoldDriver::~DeviceFoldDriver() {
  for (const Lanes& lanes : streams_) lanes.work->synchronize();
  reader_->synchronize();
}

void DeviceFoldDriver::give_leaves(int stream, std::int64_t lane, const float* from) {
  for (int b = 0; b < static_cast<int>(layout_.buckets.size()); ++b) {
    const comm::Range& bucket = layout_.buckets[b];
    device_.copy(fold_.leaf(stream, lane, b), from + bucket.begin,
                 static_cast<std::size_t>(bucket.size()) * sizeof(float), *streams_[stream].work);
    fold_.mark(stream, b, *streams_[stream].work);
    if (in_rounds()) fold_.push(stream, lane, b);
  }
}

void DeviceFoldDriver::run_lane(int stream, std::int64_t index, std::int64_t step) {
  Lanes& lanes = streams_[stream];
  const std::int64_t lane = lanes.lanes[index];
  float* const staging = lanes.staging[index].as<float>();
  for (const comm::Range& block : layout_.blocks) {
    for (std::int64_t e = block.begin; e < block.end; ++e) staging[e] = invented(step, lane, e);
  }
  fold_.open(stream, *lanes.work);
  if (lanes.graph) {
    device_.copy(lanes.input.data(), staging, lanes.input.bytes(), *lanes.work);
    lanes.work->launch(*lanes.graph);
  } else {
    give_leaves(stream, lane, staging);
  }
  for (int b = 0; !in_rounds() && b < static_cast<int>(layout_.buckets.size()); ++b)
    fold_.push(stream, lane, b);
  const InventedRecord record{step, lane, invented(step, lane, -1)};
  fold_.set_record(lane, &record);
}

void DeviceFoldDriver::run_step(std::int64_t step) {
  if (options_.threads) {
    std::vector<std::thread> others;
    const auto run = [&](int stream) {
      for (std::size_t i = 0; i < streams_[stream].lanes.size(); ++i)
        run_lane(stream, static_cast<std::int64_t>(i), step);
    };
    for (int s = 1; s < layout_.streams; ++s) {
      others.emplace_back([&, s] {
        device_.enter();
        run(s);
      });
    }
    run(0);
    for (std::thread& thread : others) thread.join();
  } else {
    for (std::int64_t i = 0; i < layout_.lanes; ++i) {
      for (int s = 0; s < layout_.streams; ++s) {
        if (i < static_cast<std::int64_t>(streams_[s].lanes.size())) run_lane(s, i, step);
      }
    }
  }
  fold_.finish(step);
}

void DeviceFoldDriver::read(std::int64_t step) {
  Read& read = reads_[step % 2];
  for (std::size_t i = 0; i < layout_.blocks.size(); ++i) {
    const comm::Range& block = layout_.blocks[i];
    if (reads(i))
      device_.copy(read.sums.as<float>() + block.begin, fold_.sum(static_cast<int>(i)),
                   static_cast<std::size_t>(block.size()) * sizeof(float), *reader_);
    read.values[i] = fold_.block_value(static_cast<int>(i));
  }
  for (std::int64_t lane = 0; lane < layout_.lanes; ++lane) {
    std::memcpy(read.records.data() + lane * layout_.record_bytes, fold_.record(lane),
                layout_.record_bytes);
  }
  read.here->record(*reader_);
  fold_.release(*reader_);
}

std::string DeviceFoldDriver::check(std::int64_t step) {
  Read& read = reads_[step % 2];
  read.here->synchronize();
  for (std::size_t i = 0; i < layout_.blocks.size(); ++i) {
    if (!reads(i)) continue;
    const comm::Range& block = layout_.blocks[i];
    for (std::int64_t e = block.begin; e < block.end; ++e) {
      const float found = read.sums.as<float>()[e],
                  expected = expected_sum(step, layout_.lanes, e, layout_.leaf);
      if (std::bit_cast<std::uint32_t>(found) != std::bit_cast<std::uint32_t>(expected)) {
        return fmt::format("step {}, block {}, element {}: {} instead of {}", step, i, e, found,
                           expected);
      }
    }
    const double value = sum_of_squares(read.sums.as<float>() + block.begin, block.size());
    if (!(read.values[i] == value))
      return fmt::format("step {}, block {}: sum of squares {} instead of {}", step, i,
                         read.values[i], value);
  }
  for (std::int64_t lane = 0; lane < layout_.lanes; ++lane) {
    InventedRecord record;
    std::memcpy(&record, read.records.data() + lane * layout_.record_bytes, sizeof record);
    if (record.step != step || record.lane != lane)
      return fmt::format("step {}: lane {} has another's record", step, lane);
  }
  return "";
}

}  // namespace lockstep::test
