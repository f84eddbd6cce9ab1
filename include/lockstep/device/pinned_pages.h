// Pages of the host that a device copies from and to without staging, for as long as this lives.
// Where the device refuses them copies take longer, and that is all.
#pragma once
#include <cstddef>
#include <span>
#include <utility>

#include "lockstep/device/device.h"

namespace lockstep {

class PinnedPages {
 public:
  PinnedPages(Device& device, std::span<std::byte> pages)
      : device_(device),
        data_(pages.empty() || !device.pin(pages.data(), pages.size()) ? nullptr : pages.data()) {}
  PinnedPages(PinnedPages&& other) noexcept
      : device_(other.device_), data_(std::exchange(other.data_, nullptr)) {}
  ~PinnedPages() {
    if (data_ != nullptr) device_.unpin(data_);
  }

 private:
  Device& device_;
  std::byte* data_;
};

}  // namespace lockstep
