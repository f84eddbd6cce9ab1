// The cpu device: pages from the system, huge where it gives them; streams that run at once.
#include <sys/mman.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/core/isa.h"
#include "lockstep/core/units.h"
#include "lockstep/device/device.h"

namespace lockstep {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

class CpuStream : public Stream {
 public:
  void synchronize() override {}
};

class CpuEvent : public Event {
 public:
  void record(Stream&) override {}
  void wait(Stream&) override {}
  bool done() override { return true; }
  void synchronize() override {}
};

class CpuDevice : public Device {
 public:
  DeviceKind kind() const override { return DeviceKind::kCpu; }
  std::string name() const override { return fmt::format("cpu: {}, {}", cpu_model(), name_of(isa())); }

  // Every page is touched here, by the thread that will use it, so that no step meets a page fault.
  Buffer allocate(std::size_t bytes, std::string_view purpose) override {
    if (bytes == 0) return Buffer(*this, nullptr, 0);
    const std::size_t alignment = bytes >= kHugePage ? kHugePage : bytes >= 65536 ? 4096 : 64;
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* data = std::aligned_alloc(alignment, rounded);
    if (data == nullptr) {
      throw UserError("not enough memory for {} ({}); use a smaller batch or more ranks", purpose,
                      bytes_text(static_cast<double>(bytes)));
    }
    if (alignment == kHugePage) ::madvise(data, rounded, MADV_HUGEPAGE);
    std::memset(data, 0, rounded);
    return Buffer(*this, data, bytes);
  }
  void release(void* data, std::size_t, bool) noexcept override { std::free(data); }
  std::unique_ptr<Stream> make_stream() override { return std::make_unique<CpuStream>(); }
  std::unique_ptr<Event> make_event() override { return std::make_unique<CpuEvent>(); }
  void copy(void* to, const void* from, std::size_t bytes, Stream&) override {
    std::memcpy(to, from, bytes);
  }
  void fill(void* to, int byte, std::size_t bytes, Stream&) override { std::memset(to, byte, bytes); }
};

// Reserves addresses; a page is taken when it is touched.
class SparseDevice final : public CpuDevice {
 public:
  Buffer allocate(std::size_t bytes, std::string_view purpose) override {
    if (bytes == 0) return Buffer(*this, nullptr, 0);
    void* const data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED)
      throw UserError("no room for {} ({}); use a smaller batch or more ranks", purpose,
                      bytes_text(static_cast<double>(bytes)));
    ::madvise(data, bytes, MADV_NOHUGEPAGE);
    return Buffer(*this, data, bytes);
  }
  void release(void* data, std::size_t bytes, bool) noexcept override { ::munmap(data, bytes); }
};

}  // namespace

Device& cpu_device() {
  static CpuDevice device;
  return device;
}

Device& sparse_cpu_device() {
  static SparseDevice device;
  return device;
}

}  // namespace lockstep
