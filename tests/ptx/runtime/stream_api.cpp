// Streams, host functions and work of other stand-ins.
#include <cuda_runtime_api.h>

#include "tests/ptx/runtime/call.h"
#include "tests/ptx/runtime/device.h"
#include "tests/ptx/runtime/enqueue.h"
#include "tests/ptx/runtime/stream.h"

using namespace lockstep::emulation;

namespace {

// body: cudaError_t(Lock&, Stream&).
template <class Body>
cudaError_t with_stream(Capturing rule, cudaStream_t handle, Body&& body) {
  return call(rule, [&](Lock& lock) {
    if (device_count() == 0) return cudaErrorNoDevice;
    Stream* stream = find_stream(handle);
    return stream ? body(lock, *stream) : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t give_and_settle(Lock& lock, Stream& stream, std::shared_ptr<const Work> work) {
  const cudaError_t error = give(stream, std::move(work));
  if (error == cudaSuccess && !stream.capture) settle(lock);
  return error;
}

// A stream that captures cannot be asked or waited for.
cudaError_t refuse_captured(Stream& stream) {
  if (stream.capture) return spoil(*stream.capture, cudaErrorStreamCaptureUnsupported);
  return check_implicit(stream);
}

bool all_done(const std::vector<TaskPtr>& tasks) {
  for (const TaskPtr& task : tasks)
    if (task && !task->done) return false;
  return true;
}

}  // namespace

LOCKSTEP_API cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags,
                                                      int priority) {
  return call(Capturing::kSafe, [&](Lock&) {
    if (device_count() == 0) return cudaErrorNoDevice;
    if (flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
    *stream = make_stream(flags, priority);
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
LOCKSTEP_API cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}
// Work that it still has goes on.
LOCKSTEP_API cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return call(Capturing::kSafe, [&](Lock&) {
    Stream* stream = find_stream(handle);
    if (stream == nullptr || stream->legacy) return cudaErrorInvalidResourceHandle;
    if (stream->capture) spoil(*stream->capture, cudaErrorStreamCaptureInvalidated);
    drop_stream(handle);
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return with_stream(Capturing::kSafe, handle, [](Lock& lock, Stream& stream) {
    if (const cudaError_t error = refuse_captured(stream); error != cudaSuccess) return error;
    if (const cudaError_t error = refuse_in_capture(); error != cudaSuccess) return error;
    const std::vector<TaskPtr> before = before_next(stream);
    run_until(lock, [&] { return all_done(before); });
    return failure();
  });
}
LOCKSTEP_API cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return with_stream(Capturing::kSafe, handle, [](Lock& lock, Stream& stream) {
    if (const cudaError_t error = refuse_captured(stream); error != cudaSuccess) return error;
    if (const cudaError_t error = refuse_in_capture(); error != cudaSuccess) return error;
    const std::vector<TaskPtr> before = before_next(stream);
    if (!all_done(before)) advance(lock);
    if (failure() != cudaSuccess) return failure();
    return all_done(before) ? cudaSuccess : cudaErrorNotReady;
  });
}
LOCKSTEP_API cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  return with_stream(Capturing::kSafe, handle, [&](Lock&, Stream& stream) {
    *flags = stream.blocking ? cudaStreamDefault : cudaStreamNonBlocking;
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
  return with_stream(Capturing::kSafe, handle, [&](Lock&, Stream& stream) {
    *priority = stream.priority;
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaStreamGetDevice(cudaStream_t handle, int* device) {
  return with_stream(Capturing::kSafe, handle, [&](Lock&, Stream& stream) {
    *device = stream.device;
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaStreamGetId(cudaStream_t handle, unsigned long long* id) {
  return with_stream(Capturing::kSafe, handle, [&](Lock&, Stream& stream) {
    *id = stream.number;
    return cudaSuccess;
  });
}

LOCKSTEP_API cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function,
                                            void* data) {
  return with_stream(Capturing::kSafe, handle, [&](Lock& lock, Stream& stream) {
    auto work = std::make_shared<Work>();
    work->name = "a host function";
    work->kind = Work::Kind::kHost;
    work->run = [=] { function(data); };
    return give_and_settle(lock, stream, std::move(work));
  });
}
LOCKSTEP_API cudaError_t cudaStreamAddCallback(cudaStream_t handle, cudaStreamCallback_t function,
                                               void* data, unsigned) {
  return with_stream(Capturing::kSafe, handle, [&](Lock& lock, Stream& stream) {
    if (stream.capture) return spoil(*stream.capture, cudaErrorStreamCaptureUnsupported);
    auto work = std::make_shared<Work>();
    work->name = "a callback";
    work->kind = Work::Kind::kHost;
    work->run = [=] { function(handle, failure(), data); };
    return give_and_settle(lock, stream, std::move(work));
  });
}

LOCKSTEP_API cudaError_t lockstep_emulation_enqueue(cudaStream_t handle, const char* name,
                                                    void (*run)(void*), void* data,
                                                    void (*release)(void*)) {
  return with_stream(Capturing::kSafe, handle, [&](Lock& lock, Stream& stream) {
    if (stream.capture && stream.capture->spoiled) return cudaErrorStreamCaptureInvalidated;
    if (const cudaError_t error = check_implicit(stream); error != cudaSuccess) return error;
    auto work = std::make_shared<Work>();
    work->name = name;
    work->run = [run, kept = std::shared_ptr<void>(data, release)] { run(kept.get()); };
    return give_and_settle(lock, stream, std::move(work));
  });
}
