#include "tests/ptx/runtime/device.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "tests/ptx/runtime/settings.h"

namespace lockstep::emulation {

cudaUUID_t uuid_of(const Visible& device) {
  cudaUUID_t uuid{};
  std::memcpy(uuid.bytes, "Lockstep", 8);
  uuid.bytes[14] = static_cast<char>(device.instance + 1);
  uuid.bytes[15] = static_cast<char>(device.physical);
  return uuid;
}

namespace {

constexpr int kInstances = 7;  // MIG instances of each device

thread_local int current = 0;

std::string text_of(const cudaUUID_t& uuid) {
  std::string text;
  char digits[3];
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(uuid.bytes[i]));
    text += digits;
  }
  return text;
}

// One entry of CUDA_VISIBLE_DEVICES: a number, or a UUID (of a device, its beginning suffices).
bool find_visible(std::string_view entry, Visible& found) {
  const int devices = settings().devices;
  const bool whole = entry.starts_with("GPU-");
  if (whole || entry.starts_with("MIG-")) {
    const std::string_view wanted = entry.substr(4);
    for (int d = 0; d < devices; ++d)
      for (int i = whole ? -1 : 0; i < (whole ? 0 : kInstances); ++i) {
        const std::string text = text_of(uuid_of({d, i}));
        if (text == wanted || (whole && !wanted.empty() && text.starts_with(wanted))) {
          found = {d, i};
          return true;
        }
      }
    return false;
  }
  if (entry.empty() || entry.find_first_not_of("0123456789") != entry.npos || entry.size() > 4)
    return false;
  found = {std::atoi(std::string(entry).c_str()), -1};
  return found.physical < devices;
}

// The first entry that is no device ends the list; a device named twice leaves none.
std::vector<Visible> read_visible() {
  std::vector<Visible> visible;
  const char* list = std::getenv("CUDA_VISIBLE_DEVICES");
  if (list == nullptr) {
    for (int d = 0; d < settings().devices; ++d) visible.push_back({d, -1});
    return visible;
  }
  for (std::string_view rest = list; !rest.empty();) {
    std::string_view entry = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), entry.size() + 1));
    while (entry.starts_with(' ')) entry.remove_prefix(1);
    Visible device;
    if (!find_visible(entry, device)) break;
    for (const Visible& each : visible)
      if (each.physical == device.physical && each.instance == device.instance) return {};
    visible.push_back(device);
    if (device.instance >= 0) break;  // a process sees one MIG instance
  }
  return visible;
}

}  // namespace

const std::vector<Visible>& visible_devices() {
  static const std::vector<Visible> visible = read_visible();
  return visible;
}

int device_count() { return static_cast<int>(visible_devices().size()); }
int current_device() { return current; }
int physical_device(int device) { return visible_devices()[device].physical; }
bool valid_device(int device) { return device >= 0 && device < device_count(); }

bool peers(int device, int other) {
  const auto& v = visible_devices();
  return settings().peer_access && v[device].instance < 0 && v[other].instance < 0;
}

cudaError_t set_device(int device) {
  if (!valid_device(device))
    return device_count() == 0 ? cudaErrorNoDevice : cudaErrorInvalidDevice;
  current = device;
  return cudaSuccess;
}

Limits limits() {
  const int capability = 10 * settings().major + settings().minor;
  if (capability < 80) return {40, 1024, 16, 64 << 10, 64 << 10};
  if (capability == 80) return {108, 2048, 32, 164 << 10, 163 << 10};
  if (capability < 90 || capability >= 120) return {84, 1536, 24, 100 << 10, 99 << 10};
  return {132, 2048, 32, 228 << 10, 227 << 10};
}

}  // namespace lockstep::emulation
