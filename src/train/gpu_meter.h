// How busy a GPU is and how full its memory, asked of NVIDIA's management library (NVML) by a
// thread of its own. The library is opened at run time; where it or the device's figures are
// missing there are none.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace lockstep::train {

class Nvml;

struct GpuUse {
  double busy = 0;               // part of the time in which a kernel ran, 0 to 1
  std::uint64_t peak_bytes = 0;  // in use on the device, by whomever
};

class GpuMeter {
 public:
  explicit GpuMeter(const std::string& uuid);  // without "GPU-"; empty: no device
  ~GpuMeter();
  GpuMeter(const GpuMeter&) = delete;
  GpuMeter& operator=(const GpuMeter&) = delete;

  // Since the meter was made; nullopt if nothing can be asked.
  std::optional<GpuUse> use() const;

 private:
  void run();

  std::unique_ptr<Nvml> nvml_;  // null: none
  mutable std::mutex mutex_;
  std::condition_variable change_;
  double busy_sum_ = 0;
  std::int64_t samples_ = 0;
  std::uint64_t peak_ = 0;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace lockstep::train
