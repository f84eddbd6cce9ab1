// Where memory lies and work runs. Everything above is written against Device, Buffer, Stream and
// Event; the cpu device has them too (its streams run at once). Knows nothing of models or ranks.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lockstep {

class Device;

// Memory of a device, or of the host for a device; zeroed; 64-byte aligned (256 on cuda,
// page-aligned from 64 KiB up on the cpu). Move-only.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device& device, void* data, std::size_t bytes, bool on_host = false)
      : device_(&device), data_(data), bytes_(bytes), on_host_(on_host) {}
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
    std::swap(on_host_, other.on_host_);
  }
  Device* device_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  bool on_host_ = false;
};

// Work given to a stream, captured once, to be given again at the price of one launch.
class Graph {
 public:
  virtual ~Graph() = default;
};

// An ordered queue of work. On the cpu the caller's thread does it at once.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void synchronize() = 0;  // returns when all work given to the stream is done
  virtual void* native() const { return nullptr; }  // a cudaStream_t
  // Between the two, work is not done but captured. Only where Device::captures().
  virtual void begin_capture();
  virtual std::unique_ptr<Graph> end_capture();
  virtual bool capturing() const { return false; }
  virtual void launch(Graph& graph);
};

// A point in a stream that another stream or the host can wait for.
class Event {
 public:
  virtual ~Event() = default;
  // While the stream captures, the event is recorded each time the graph runs.
  virtual void record(Stream& stream) = 0;
  virtual void wait(Stream& stream) = 0;  // later work of stream starts after the event
  virtual bool done() = 0;                // all that was recorded last is done; never waits
  virtual void synchronize() = 0;         // returns when done() is true
};

// Device memory of another process of this machine, mapped into this one.
class PeerMemory {
 public:
  virtual ~PeerMemory() = default;
  virtual void* data() const = 0;
};

enum class DeviceKind { kCpu, kCuda };

class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceKind kind() const = 0;
  virtual std::string name() const = 0;  // "cpu: AMD EPYC, avx512"; "cuda 0: NVIDIA H100, sm_90"
  // Memory for `purpose` (named in the error if there is not enough).
  virtual Buffer allocate(std::size_t bytes, std::string_view purpose) = 0;
  // Memory of the host that copies to and from this device need not be staged for: pinned.
  virtual Buffer allocate_on_host(std::size_t bytes, std::string_view purpose) {
    return allocate(bytes, purpose);
  }
  virtual void release(void* data, std::size_t bytes, bool on_host) noexcept = 0;
  virtual std::unique_ptr<Stream> make_stream() = 0;
  virtual std::unique_ptr<Event> make_event() = 0;
  // In the stream's order. Each side lies on this device or in the host's memory; where that is not
  // from allocate_on_host(), the call returns when the copy is done.
  virtual void copy(void* to, const void* from, std::size_t bytes, Stream& stream) = 0;
  virtual void fill(void* to, int byte, std::size_t bytes, Stream& stream) = 0;
  // Whether the host reads and writes this device's memory as its own.
  virtual bool is_host() const { return kind() == DeviceKind::kCpu; }
  virtual bool captures() const { return false; }
  // Names memory from allocate() (its begin; best in multiples of 2 MiB) so that processes of this
  // machine can open it; empty where that cannot be.
  virtual std::vector<std::byte> export_memory(const void* /*data*/) { return {}; }
  // What another process has exported, to be read and written by this device's work: null, and why,
  // if there is no way. To be closed before its owner releases it.
  virtual std::unique_ptr<PeerMemory> open_peer(std::span<const std::byte> handle,
                                                std::string& refusal);
  // Makes page-aligned memory of the host as good as that of allocate_on_host(), until unpin().
  // False: refused, so that copies to it take longer.
  virtual bool pin(void* /*data*/, std::size_t /*bytes*/) { return true; }
  virtual void unpin(void* /*data*/) noexcept {}
  // The calling thread gives work to this device from now on. Every thread but the maker's needs it.
  virtual void enter() {}
};

Device& cpu_device();
// A cpu whose memory is reserved, and costs nothing where nobody touches it: for what is addressed as
// a whole and held in parts, and for what is only asked how much it would need.
Device& sparse_cpu_device();

// Peak of fp32 fused multiply-adds of one core in flop/s, measured in about 20 ms with the widest
// vectors of the ISA in force.
double measure_fma_peak();

}  // namespace lockstep
