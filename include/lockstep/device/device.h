// Where memory lies and work runs. Everything above is written against Device, Buffer, Stream and
// Event; the cpu device has them too (its streams run at once). Knows nothing of models or ranks.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace lockstep {

class Device;

// Memory of a device, zeroed, 64-byte aligned (page-aligned from 64 KiB up). Move-only.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device& device, void* data, std::size_t bytes) : device_(&device), data_(data), bytes_(bytes) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer();

  void* data() const { return data_; }
  template <class T>
  T* as() const { return static_cast<T*>(data_); }
  std::size_t bytes() const { return bytes_; }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  Device* device_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// An ordered queue of work. On the cpu the caller's thread does it at once.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void synchronize() = 0;  // returns when all work given to the stream is done
};

// A point in a stream that another stream or the host can wait for.
class Event {
 public:
  virtual ~Event() = default;
  virtual void record(Stream& stream) = 0;
  virtual void wait(Stream& stream) = 0;  // later work of stream starts after the event
  virtual bool done() = 0;
};

enum class DeviceKind { kCpu, kCuda };

class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceKind kind() const = 0;
  virtual std::string name() const = 0;  // "cpu: AMD EPYC, avx512"
  // Memory for `purpose` (named in the error if there is not enough).
  virtual Buffer allocate(std::size_t bytes, std::string_view purpose) = 0;
  virtual void release(void* data, std::size_t bytes) noexcept = 0;
  virtual std::unique_ptr<Stream> make_stream() = 0;
  virtual std::unique_ptr<Event> make_event() = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes, Stream& stream) = 0;
};

Device& cpu_device();

// Peak of fp32 fused multiply-adds of one core in flop/s, measured in about 20 ms with the widest
// vectors of the ISA in force.
double measure_fma_peak();

}  // namespace lockstep
