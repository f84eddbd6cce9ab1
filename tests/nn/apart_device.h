// A device whose memory the host does not share, for tests of what is staged.
#pragma once
#include <cstring>

#include "lockstep/device/device.h"

namespace lockstep::nn {

// The host's arithmetic behind the interface of a device apart. Its streams run at once.
class ApartDevice : public Device {
 public:
  DeviceKind kind() const override { return DeviceKind::kCpu; }
  bool is_host() const override { return false; }
  std::string name() const override { return "apart"; }
  Buffer allocate(std::size_t bytes, std::string_view purpose) override {
    return cpu_device().allocate(bytes, purpose);
  }
  void release(void*, std::size_t, bool) noexcept override {}
  std::unique_ptr<Stream> make_stream() override { return cpu_device().make_stream(); }
  std::unique_ptr<Event> make_event() override { return cpu_device().make_event(); }
  void copy(void* to, const void* from, std::size_t bytes, Stream&) override {
    std::memcpy(to, from, bytes);
  }
  void fill(void* to, int byte, std::size_t bytes, Stream&) override {
    std::memset(to, byte, bytes);
  }
};

}  // namespace lockstep::nn
