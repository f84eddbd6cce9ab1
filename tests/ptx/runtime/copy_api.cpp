// Copies and fills. The contract is the documented one (CUDA Runtime API, "API synchronization
// behavior"): a copy from pageable memory takes its source before the call returns and reaches the
// device late; a copy to pageable memory is done when the call returns; pinned memory is read and
// written late. cudaMemcpy from pageable memory, between devices' memory, and cudaMemset also
// return before the device has done it.
#include <cuda_runtime_api.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/ptx/runtime/call.h"
#include "tests/ptx/runtime/device.h"
#include "tests/ptx/runtime/memory.h"
#include "tests/ptx/runtime/stream.h"
#include "tests/ptx/runtime/symbols.h"

using namespace lockstep::emulation;

namespace {

// Rows of a copy or fill; one row unless it is of two dimensions.
struct Shape {
  std::size_t width = 0, height = 1;            // bytes, rows
  std::size_t to_pitch = 0, from_pitch = 0;     // bytes from row to row
  std::size_t reach(std::size_t pitch) const {  // from the first byte to behind the last
    return height == 0 ? 0 : (height - 1) * pitch + width;
  }
  bool empty() const { return width == 0 || height == 0; }
};

struct Copy {
  void* to = nullptr;
  const void* from = nullptr;
  Shape shape;
  cudaMemcpyKind kind = cudaMemcpyDefault;
};

void copy_rows(void* to, const void* from, const Shape& s) {
  for (std::size_t row = 0; row < s.height; ++row)
    std::memmove(static_cast<char*>(to) + row * s.to_pitch,
                 static_cast<const char*>(from) + row * s.from_pitch, s.width);
}

cudaError_t check_kind(cudaMemcpyKind kind, Place to, Place from) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault)
    return cudaErrorInvalidMemcpyDirection;
  if (to == Place::kOutside || from == Place::kOutside) return cudaErrorInvalidValue;
  if (kind == cudaMemcpyDefault) return cudaSuccess;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  // Pinned memory is the device's as well.
  const bool to_fits = to == Place::kPinned || to_device == (to == Place::kDevice);
  const bool from_fits = from == Place::kPinned || from_device == (from == Place::kDevice);
  return to_fits && from_fits ? cudaSuccess : cudaErrorInvalidValue;
}

std::string name_of(const char* what, const Shape& s) {
  return std::string(what) + " of " + std::to_string(s.width * s.height) + " bytes";
}

std::shared_ptr<Work> late_copy(const Copy& c, bool take_source) {
  auto work = std::make_shared<Work>();
  work->kind = Work::Kind::kCopy;
  work->name = name_of("a copy", c.shape);
  if (!take_source) {
    work->run = [c] { copy_rows(c.to, c.from, c.shape); };
    return work;
  }
  auto taken = std::make_shared<std::vector<char>>(c.shape.width * c.shape.height);
  Shape packed = c.shape;
  packed.to_pitch = c.shape.width;
  copy_rows(taken->data(), c.from, packed);
  packed = c.shape;
  packed.from_pitch = c.shape.width;
  work->run = [=, to = c.to] { copy_rows(to, taken->data(), packed); };
  return work;
}

cudaError_t copy(const Copy& c, cudaStream_t handle, bool wait) {
  return call(wait ? Capturing::kUnsafe : Capturing::kSafe, [&](Lock& lock) {
    if (device_count() == 0) return cudaErrorNoDevice;
    Stream* stream = find_stream(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (c.shape.empty()) return cudaSuccess;
    if (c.shape.height > 1 &&
        (c.shape.width > c.shape.to_pitch || c.shape.width > c.shape.from_pitch))
      return cudaErrorInvalidPitchValue;
    if (c.to == nullptr || c.from == nullptr) return cudaErrorInvalidValue;
    const Place to = place_of(c.to, c.shape.reach(c.shape.to_pitch));
    const Place from = place_of(c.from, c.shape.reach(c.shape.from_pitch));
    if (const cudaError_t error = check_kind(c.kind, to, from); error != cudaSuccess) return error;
    if (stream->capture) return give(*stream, late_copy(c, false));

    const bool to_host = to != Place::kDevice;
    const bool pageable_source = from == Place::kPageable && !to_host;
    // A copy from pageable memory begins once the stream has come to it.
    if (wait && pageable_source) {
      for (const TaskPtr& task : before_next(*stream)) run_until_done(lock, task);
      if (failure() != cudaSuccess) return failure();
    }
    if (const cudaError_t error = give(*stream, late_copy(c, pageable_source));
        error != cudaSuccess)
      return error;
    const bool pageable = to == Place::kPageable || (to_host && from == Place::kPageable);
    const bool pinned = to == Place::kPinned || from == Place::kPinned;
    if (pageable || (wait && pinned))
      run_until_done(lock, stream->last);
    else
      settle(lock);
    return failure();
  });
}

cudaError_t fill(void* to, int value, const Shape& shape, cudaStream_t handle, bool wait) {
  return call(Capturing::kSafe, [&](Lock& lock) {
    if (device_count() == 0) return cudaErrorNoDevice;
    Stream* stream = find_stream(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (shape.empty()) return cudaSuccess;
    const Place place = place_of(to, shape.reach(shape.to_pitch));
    if (place == Place::kOutside || place == Place::kPageable) return cudaErrorInvalidValue;
    auto work = std::make_shared<Work>();
    work->kind = Work::Kind::kFill;
    work->name = name_of("a fill", shape);
    work->run = [=] {
      for (std::size_t row = 0; row < shape.height; ++row)
        std::memset(static_cast<char*>(to) + row * shape.to_pitch, value, shape.width);
    };
    if (const cudaError_t error = give(*stream, std::move(work)); error != cudaSuccess)
      return error;
    if (stream->capture) return cudaSuccess;
    if (wait && place == Place::kPinned)
      run_until_done(lock, stream->last);
    else
      settle(lock);
    return failure();
  });
}

// A variable of the kernels, from `offset` on; null if so much does not lie in it.
char* in_symbol(const void* symbol, std::size_t bytes, std::size_t offset) {
  Lock lock(state_mutex());
  const lockstep::ptx::Variable variable = find_symbol(symbol);
  if (variable.data == nullptr || offset > variable.bytes || bytes > variable.bytes - offset)
    return nullptr;
  return static_cast<char*>(variable.data) + offset;
}

Shape row(std::size_t bytes) { return {bytes, 1, bytes, bytes}; }

}  // namespace

LOCKSTEP_API cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes,
                                    cudaMemcpyKind kind) {
  return copy({to, from, row(bytes), kind}, nullptr, true);
}
LOCKSTEP_API cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes,
                                         cudaMemcpyKind kind, cudaStream_t stream) {
  return copy({to, from, row(bytes), kind}, stream, false);
}
LOCKSTEP_API cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from,
                                      std::size_t from_pitch, std::size_t width, std::size_t height,
                                      cudaMemcpyKind kind) {
  return copy({to, from, {width, height, to_pitch, from_pitch}, kind}, nullptr, true);
}
LOCKSTEP_API cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                                           std::size_t from_pitch, std::size_t width,
                                           std::size_t height, cudaMemcpyKind kind,
                                           cudaStream_t stream) {
  return copy({to, from, {width, height, to_pitch, from_pitch}, kind}, stream, false);
}
LOCKSTEP_API cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int,
                                             std::size_t bytes, cudaStream_t stream) {
  return copy({to, from, row(bytes), cudaMemcpyDeviceToDevice}, stream, false);
}
LOCKSTEP_API cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, std::size_t bytes) {
  return copy({to, from, row(bytes), cudaMemcpyDeviceToDevice}, nullptr, true);
}

LOCKSTEP_API cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return fill(to, value, row(bytes), nullptr, true);
}
LOCKSTEP_API cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes,
                                         cudaStream_t stream) {
  return fill(to, value, row(bytes), stream, false);
}
LOCKSTEP_API cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value,
                                           std::size_t width, std::size_t height,
                                           cudaStream_t stream) {
  return fill(to, value, {width, height, pitch, pitch}, stream, false);
}

LOCKSTEP_API cudaError_t cudaGetSymbolAddress(void** data, const void* symbol) {
  *data = in_symbol(symbol, 0, 0);
  return remember(*data ? cudaSuccess : cudaErrorInvalidSymbol);
}
LOCKSTEP_API cudaError_t cudaGetSymbolSize(std::size_t* bytes, const void* symbol) {
  Lock lock(state_mutex());
  const lockstep::ptx::Variable variable = find_symbol(symbol);
  *bytes = variable.bytes;
  return remember(variable.data ? cudaSuccess : cudaErrorInvalidSymbol);
}
LOCKSTEP_API cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from,
                                                 std::size_t bytes, std::size_t offset,
                                                 cudaMemcpyKind kind, cudaStream_t stream) {
  char* to = in_symbol(symbol, bytes, offset);
  if (to == nullptr) return remember(cudaErrorInvalidSymbol);
  return copy({to, from, row(bytes), kind}, stream, false);
}
LOCKSTEP_API cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, std::size_t bytes,
                                            std::size_t offset, cudaMemcpyKind kind) {
  char* to = in_symbol(symbol, bytes, offset);
  if (to == nullptr) return remember(cudaErrorInvalidSymbol);
  return copy({to, from, row(bytes), kind}, nullptr, true);
}
LOCKSTEP_API cudaError_t cudaMemcpyFromSymbolAsync(void* to, const void* symbol, std::size_t bytes,
                                                   std::size_t offset, cudaMemcpyKind kind,
                                                   cudaStream_t stream) {
  const char* from = in_symbol(symbol, bytes, offset);
  if (from == nullptr) return remember(cudaErrorInvalidSymbol);
  return copy({to, from, row(bytes), kind}, stream, false);
}
LOCKSTEP_API cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, std::size_t bytes,
                                              std::size_t offset, cudaMemcpyKind kind) {
  const char* from = in_symbol(symbol, bytes, offset);
  if (from == nullptr) return remember(cudaErrorInvalidSymbol);
  return copy({to, from, row(bytes), kind}, nullptr, true);
}
