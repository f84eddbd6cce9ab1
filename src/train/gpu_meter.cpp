#include "train/gpu_meter.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>

namespace lockstep::train {
namespace {

// NVML averages over at most the last second.
constexpr auto kBetweenSamples = std::chrono::seconds(1);

// What is needed of nvml.h, as NVIDIA's manual of the library documents it.
using NvmlDevice = void*;
struct NvmlUtilization {
  unsigned gpu = 0, memory = 0;  // percent
};
struct NvmlMemory {
  unsigned long long total = 0, free = 0, used = 0;
};
constexpr int kNvmlSuccess = 0;

}  // namespace

class Nvml {
 public:
  // Null if anything is missing.
  static std::unique_ptr<Nvml> open(const std::string& uuid) {
    auto nvml = std::unique_ptr<Nvml>(new Nvml);
    return nvml->find(uuid) ? std::move(nvml) : nullptr;
  }
  ~Nvml() {
    if (shutdown_ != nullptr) shutdown_();
    if (library_ != nullptr) ::dlclose(library_);
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  std::optional<GpuUse> sample() const {
    NvmlUtilization utilization;
    NvmlMemory memory;
    if (utilization_(device_, &utilization) != kNvmlSuccess) return std::nullopt;
    if (memory_(device_, &memory) != kNvmlSuccess) memory.used = 0;
    return GpuUse{utilization.gpu / 100.0, memory.used};
  }

 private:
  Nvml() = default;

  template <class Function>
  bool take(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(library_, name));
    return function != nullptr;
  }

  bool find(const std::string& uuid) {
    library_ = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) return false;
    int (*init)() = nullptr;
    int (*by_uuid)(const char*, NvmlDevice*) = nullptr;
    int (*shutdown)() = nullptr;
    if (!take(init, "nvmlInit_v2") || !take(by_uuid, "nvmlDeviceGetHandleByUUID") ||
        !take(shutdown, "nvmlShutdown") || !take(utilization_, "nvmlDeviceGetUtilizationRates") ||
        !take(memory_, "nvmlDeviceGetMemoryInfo") || init() != kNvmlSuccess)
      return false;
    shutdown_ = shutdown;
    for (const char* kind : {"GPU-", "MIG-"}) {
      if (by_uuid((kind + uuid).c_str(), &device_) == kNvmlSuccess) return sample().has_value();
    }
    return false;
  }

  void* library_ = nullptr;
  NvmlDevice device_ = nullptr;
  int (*shutdown_)() = nullptr;
  int (*utilization_)(NvmlDevice, NvmlUtilization*) = nullptr;
  int (*memory_)(NvmlDevice, NvmlMemory*) = nullptr;
};

GpuMeter::GpuMeter(const std::string& uuid) {
  if (uuid.empty()) return;
  nvml_ = Nvml::open(uuid);
  if (nvml_) thread_ = std::thread([this] { run(); });
}

GpuMeter::~GpuMeter() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  change_.notify_one();
  thread_.join();
}

void GpuMeter::run() {
  std::unique_lock lock(mutex_);
  while (!change_.wait_for(lock, kBetweenSamples, [this] { return over_; })) {
    lock.unlock();
    const std::optional<GpuUse> now = nvml_->sample();
    lock.lock();
    if (!now) continue;
    busy_sum_ += now->busy;
    ++samples_;
    peak_ = std::max(peak_, now->peak_bytes);
  }
}

std::optional<GpuUse> GpuMeter::use() const {
  const std::lock_guard lock(mutex_);
  if (samples_ == 0) return std::nullopt;
  return GpuUse{busy_sum_ / static_cast<double>(samples_), peak_};
}

}  // namespace lockstep::train
