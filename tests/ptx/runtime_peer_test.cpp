// Two processes share device memory and events. The second process is forked before the first uses
// CUDA, and is driven over a pair of sockets.
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/ptx/runtime_fixture.h"

namespace lockstep::ptx {
namespace {

struct Handles {
  cudaIpcMemHandle_t memory;
  cudaIpcEventHandle_t written, taken;
};

// Both ends throw nothing: a broken pair ends the process.
template <class T>
void send(int to, const T& value) {
  if (write(to, &value, sizeof value) != sizeof value) std::_Exit(3);
}
template <class T>
T receive(int from) {
  T value;
  if (read(from, &value, sizeof value) != sizeof value) std::_Exit(4);
  return value;
}

constexpr int kRounds = 20;

// Adds 1 to what the other process has written, without waiting for it on the host.
int second_process(int socket) {
  const auto handles = receive<Handles>(socket);
  void* data = nullptr;
  void* again = nullptr;
  cudaEvent_t written = nullptr, taken = nullptr;
  cudaSetDevice(1);
  if (cudaIpcOpenMemHandle(&data, handles.memory, cudaIpcMemLazyEnablePeerAccess) != cudaSuccess ||
      cudaIpcOpenMemHandle(&again, handles.memory, cudaIpcMemLazyEnablePeerAccess) != cudaSuccess ||
      cudaIpcOpenEventHandle(&written, handles.written) != cudaSuccess ||
      cudaIpcOpenEventHandle(&taken, handles.taken) != cudaSuccess || data != again)
    return 1;
  cudaStream_t stream = make_stream();
  for (int i = 0; i < kRounds; ++i) {
    receive<int>(socket);  // the event has been recorded, but its work may be still to come
    cudaStreamWaitEvent(stream, written, 0);
    multiply_add(static_cast<int*>(data), 1, 1, stream);
    cudaEventRecord(taken, stream);
    send(socket, i);
  }
  if (cudaStreamSynchronize(stream) != cudaSuccess) return 1;
  return cudaIpcCloseMemHandle(data) == cudaSuccess && cudaIpcCloseMemHandle(data) == cudaSuccess &&
                 cudaIpcCloseMemHandle(data) == cudaErrorInvalidValue
             ? 0
             : 2;
}

TEST(Peer, memory_and_events_are_shared_between_processes) {
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  const pid_t child = fork();
  if (child == 0) std::_Exit(second_process(sockets[1]));

  set_seed(0);
  Cell before, x(1);
  Handles handles;
  cudaEvent_t written = nullptr, taken = nullptr;
  const unsigned flags = cudaEventInterprocess | cudaEventDisableTiming;
  ASSERT_EQ(cudaEventCreateWithFlags(&written, flags), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&taken, flags), cudaSuccess);
  ASSERT_EQ(cudaIpcGetMemHandle(&handles.memory, x.data()), cudaSuccess);
  ASSERT_EQ(cudaIpcGetEventHandle(&handles.written, written), cudaSuccess);
  ASSERT_EQ(cudaIpcGetEventHandle(&handles.taken, taken), cudaSuccess);
  void* own = nullptr;
  EXPECT_NE(cudaIpcOpenMemHandle(&own, handles.memory, cudaIpcMemLazyEnablePeerAccess),
            cudaSuccess);
  cudaGetLastError();
  send(sockets[0], handles);

  cudaStream_t stream = make_stream();
  unsigned expected = 1;
  for (int i = 0; i < kRounds; ++i) {
    multiply_add(x.data(), 3, 0, stream);
    cudaEventRecord(written, stream);
    send(sockets[0], i);
    receive<int>(sockets[0]);
    cudaStreamWaitEvent(stream, taken, 0);
    expected = 3 * expected + 1;
  }
  EXPECT_CUDA(cudaSuccess, cudaStreamSynchronize(stream));
  EXPECT_EQ(x.get(), static_cast<int>(expected));
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace lockstep::ptx
