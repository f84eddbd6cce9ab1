#include "device_messages.h"

#include <algorithm>
#include <vector>

#include "mpi_call.h"

#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

namespace lockstep::comm {
namespace {

constexpr int kBytes = 4096;
int claim_ = -1;

int node_of(const Topology& t, int position) { return t.node_begin[t.node_of[position]]; }
int locals_of(const Topology& t, int position) {
  return t.node_begin[t.node_of[position] + 1] - node_of(t, position);
}
// The rank whose window `position` sends from in round i.
int sender(const Topology& t, int position, int i) {
  const int first = node_of(t, position);
  return first + (position - first + i) % locals_of(t, position);
}

class Sample {
 public:
  explicit Sample(Device& device) : device_(device), stream_(device.make_stream()) {}
  void write(void* to, int position) {
    const std::vector<char> bytes(kBytes, static_cast<char>(position));
    device_.copy(to, bytes.data(), kBytes, *stream_);
    stream_->synchronize();
  }
  bool is(const void* from, int position) {
    std::vector<char> bytes(kBytes);
    device_.copy(bytes.data(), from, kBytes, *stream_);
    stream_->synchronize();
    return std::all_of(bytes.begin(), bytes.end(),
                       [=](char byte) { return byte == static_cast<char>(position); });
  }

 private:
  Device& device_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace

void set_device_memory_claim(int claim) { claim_ = claim; }

bool mpi_claims_device_memory() {
  if (claim_ >= 0) return claim_ != 0;
#if defined(MPIX_CUDA_AWARE_SUPPORT)
  return MPIX_Query_cuda_support() == 1;
#else
  return false;
#endif
}

bool device_messages_arrive(Communicator& communicator, MPI_Comm messages, const Topology& topology,
                            const DeviceWindows& windows) {
  const int me = topology.position, ranks = topology.ranks(), local = topology.local();
  const int next = (me + 1) % ranks, previous = (me + ranks - 1) % ranks;
  Sample sample(windows.device());
  const Buffer inbox = windows.device().allocate(kBytes, "a trial message");
  sample.write(windows.parts()[local], me);
  communicator.barrier();
  int rounds = 0;
  for (int p = 0; p < ranks; ++p) rounds = std::max(rounds, locals_of(topology, p));
  bool arrived = true;
  for (int i = 0; i < rounds; ++i) {
    sample.write(inbox.data(), -1);
    const std::byte* const from = windows.parts()[sender(topology, me, i) - node_of(topology, me)];
    check_mpi(MPI_Sendrecv(from, kBytes, MPI_BYTE, topology.rank_at[next], 0, inbox.data(), kBytes,
                           MPI_BYTE, topology.rank_at[previous], 0, messages, MPI_STATUS_IGNORE),
              "a trial message from device memory");
    arrived = arrived && sample.is(inbox.data(), sender(topology, previous, i));
  }
  arrived = communicator.min(arrived ? 1 : 0) == 1;
  sample.write(windows.parts()[local], 0);
  communicator.barrier();
  return arrived;
}

}  // namespace lockstep::comm
