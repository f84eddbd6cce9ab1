#include "device/cuda/cuda_device.h"

#include <cstring>

#include "device/cuda/cuda_call.h"
#include "lockstep/core/error.h"
#include "lockstep/core/units.h"

namespace lockstep::cuda {
namespace {

class CudaGraph final : public Graph {
 public:
  explicit CudaGraph(cudaGraph_t graph) {
    const cudaError_t error = cudaGraphInstantiate(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    check(error, "cudaGraphInstantiate");
  }
  ~CudaGraph() override { cudaGraphExecDestroy(executable_); }
  cudaGraphExec_t executable() const { return executable_; }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

class CudaStream final : public Stream {
 public:
  CudaStream() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
  }
  ~CudaStream() override { cudaStreamDestroy(stream_); }
  void synchronize() override { check(cudaStreamSynchronize(stream_), "the work of a stream"); }
  void* native() const override { return stream_; }
  void begin_capture() override {
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal),
          "cudaStreamBeginCapture");
    capturing_ = true;
  }
  std::unique_ptr<Graph> end_capture() override {
    capturing_ = false;
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
    return std::make_unique<CudaGraph>(graph);
  }
  bool capturing() const override { return capturing_; }
  void launch(Graph& graph) override {
    check(cudaGraphLaunch(static_cast<CudaGraph&>(graph).executable(), stream_),
          "cudaGraphLaunch");
  }

 private:
  cudaStream_t stream_ = nullptr;
  bool capturing_ = false;
};

class CudaEvent final : public Event {
 public:
  CudaEvent() {
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate");
  }
  ~CudaEvent() override { cudaEventDestroy(event_); }
  void record(Stream& stream) override {
    const unsigned flags = stream.capturing() ? cudaEventRecordExternal : cudaEventRecordDefault;
    check(cudaEventRecordWithFlags(event_, native(&stream), flags), "cudaEventRecord");
  }
  void wait(Stream& stream) override {
    const unsigned flags = stream.capturing() ? cudaEventWaitExternal : cudaEventWaitDefault;
    check(cudaStreamWaitEvent(native(&stream), event_, flags), "cudaStreamWaitEvent");
  }
  bool done() override {
    const cudaError_t state = cudaEventQuery(event_);
    if (state == cudaErrorNotReady) {
      cudaGetLastError();  // else the next launch reports it
      return false;
    }
    check(state, "cudaEventQuery");
    return true;
  }
  void synchronize() override { check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

CudaDevice::CudaDevice(int index, std::string who) : index_(index), who_(std::move(who)) {
  check(cudaSetDevice(index), "cudaSetDevice");
  check(cudaGetDeviceProperties(&properties_, index), "cudaGetDeviceProperties");
  enter();
}

std::string CudaDevice::name() const {
  return fmt::format("cuda {}: {}, sm_{}", index_, properties_.name, capability());
}

void CudaDevice::enter() {
  set_where(fmt::format("{}, cuda {} ({})", who_, index_, properties_.name));
  check(cudaSetDevice(index_), "cudaSetDevice");
}

Buffer CudaDevice::allocate(std::size_t bytes, std::string_view purpose) {
  if (bytes == 0) return Buffer(*this, nullptr, 0);
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // else the next call reports it again
    std::size_t left = 0, total = 0;
    cudaMemGetInfo(&left, &total);
    throw UserError(
        "not enough memory on {} for {} ({}; {} of {} are free); use a smaller batch, more lanes "
        "or recomputation (train.recompute = \"block\")",
        where(), purpose, bytes_text(static_cast<double>(bytes)),
        bytes_text(static_cast<double>(left)), bytes_text(static_cast<double>(total)));
  }
  check(error, "cudaMalloc");
  Buffer buffer(*this, data, bytes);
  check(cudaMemset(data, 0, bytes), "cudaMemset");
  // The streams of this device do not wait for the one that cudaMemset uses.
  check(cudaDeviceSynchronize(), "cudaMemset");
  return buffer;
}

Buffer CudaDevice::allocate_on_host(std::size_t bytes, std::string_view purpose) {
  if (bytes == 0) return Buffer(*this, nullptr, 0, true);
  void* data = nullptr;
  const cudaError_t error = cudaMallocHost(&data, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw UserError("not enough pinned host memory for {} ({}) on {}", purpose,
                    bytes_text(static_cast<double>(bytes)), where());
  }
  check(error, "cudaMallocHost");
  std::memset(data, 0, bytes);
  return Buffer(*this, data, bytes, true);
}

void CudaDevice::release(void* data, std::size_t, bool on_host) noexcept {
  if (data == nullptr) return;
  on_host ? cudaFreeHost(data) : cudaFree(data);
}

// A graph hides which of its kernels failed.
bool CudaDevice::captures() const { return !launches_block(); }

std::unique_ptr<Stream> CudaDevice::make_stream() { return std::make_unique<CudaStream>(); }
std::unique_ptr<Event> CudaDevice::make_event() { return std::make_unique<CudaEvent>(); }

void CudaDevice::copy(void* to, const void* from, std::size_t bytes, Stream& stream) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, native(&stream)), "cudaMemcpyAsync");
}

void CudaDevice::fill(void* to, int byte, std::size_t bytes, Stream& stream) {
  check(cudaMemsetAsync(to, byte, bytes, native(&stream)), "cudaMemsetAsync");
}

}  // namespace lockstep::cuda
