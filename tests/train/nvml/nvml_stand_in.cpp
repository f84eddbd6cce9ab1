// Stands in for NVIDIA's libnvidia-ml.so.1 where there is no driver: two devices that are known by
// their UUIDs. The second one's figures cannot be asked, as a MIG instance's cannot.
#include <cstring>

namespace {

constexpr int kSuccess = 0, kNotSupported = 3, kNotFound = 6;
char devices[2];
int starts = 0;

struct Utilization {
  unsigned gpu, memory;
};
struct Memory {
  unsigned long long total, free, used;
};

}  // namespace

extern "C" {

int nvmlInit_v2() {
  ++starts;
  return kSuccess;
}
int nvmlShutdown() {
  --starts;
  return kSuccess;
}
int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
  if (starts != 1) return kNotFound;
  if (std::strcmp(uuid, "GPU-12345678-0000") == 0) {
    *device = &devices[0];
  } else if (std::strcmp(uuid, "MIG-12345678-0001") == 0) {
    *device = &devices[1];
  } else {
    return kNotFound;
  }
  return kSuccess;
}
int nvmlDeviceGetUtilizationRates(void* device, Utilization* utilization) {
  if (device != &devices[0]) return kNotSupported;
  static unsigned calls = 0;
  *utilization = {calls++ == 0 ? 100u : 40u, 7};  // the first one is before the meter begins
  return kSuccess;
}
int nvmlDeviceGetMemoryInfo(void*, Memory* memory) {
  *memory = {80ull << 30, 75ull << 30, 5ull << 30};
  return kSuccess;
}
}
