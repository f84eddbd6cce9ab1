// What translated code sees of the CUDA thread that it runs as, and what a thread waits for:
// barriers and its warp. Light on purpose: every translated kernel includes it. How threads take
// turns is block.h's business.
#pragma once
#include <vector_types.h>

#include <cstddef>
#include <cstdint>

namespace lockstep::ptx {

struct Kernel;

struct SharedMemory {
  std::uint8_t* base = nullptr;
  std::uint32_t bytes = 0;  // of this launch, static and dynamic
};

// The same for all threads of a block.
struct BlockPlace {
  const Kernel* kernel = nullptr;
  const std::uint8_t* parameters = nullptr;
  dim3 grid, extent;
  uint3 index{};
  SharedMemory shared;
  std::uint32_t dynamic_shared = 0;  // bytes
};

struct Thread {
  const BlockPlace* place = nullptr;
  uint3 index{};
  unsigned number = 0;  // within the block, x fastest
  unsigned warp_lane = 0;
};

// `at` is everywhere the PTX instruction and its source line, for the message of a KernelError.
[[noreturn, gnu::cold]] void fail(const Thread& thread, const char* at, const char* what);
[[noreturn, gnu::cold]] void fail_address(const Thread& thread, const char* at,
                                          std::uint64_t address, unsigned bytes);
[[noreturn, gnu::cold]] void fail_shared(const Thread& thread, const char* at, std::uint64_t offset,
                                         unsigned bytes);

// bar.sync: waits until `count` threads (0: all that have not exited) have come to barrier `id`.
struct Votes {
  bool any = false, all = true;
  unsigned count = 0;
};
Votes barrier(Thread& self, unsigned id, unsigned count, bool vote, const char* at);
void barrier_arrive(Thread& self, unsigned id, unsigned count, const char* at);

// bar.warp.sync: waits for the lanes of mask and orders their memory accesses.
void warp_barrier(Thread& self, unsigned mask, const char* at);

// Waits for the lanes of mask to come to this same instruction; the last to come calls complete
// once, with what each lane brought (null for lanes outside mask). Orders no memory accesses.
using Complete = void (*)(void* const* operands, unsigned mask);
void collective(Thread& self, unsigned mask, void* operands, Complete complete, const char* at);

// cp.async: a copy is queued, belongs to the group that is committed next, and lands when its
// thread waits for that group.
struct AsyncCopy {
  std::uint8_t* to;
  const std::uint8_t* from;
  unsigned bytes, from_bytes;  // the rest up to bytes becomes zero
  unsigned group;
};
void queue_copy(Thread& self, const AsyncCopy& copy);
void commit_copies(Thread& self);
// Takes the next copy out of the queue unless it is in one of the last `pending` groups.
bool next_copy(Thread& self, unsigned pending, AsyncCopy& copy);

// membar and fence: what this thread did before is seen by those that come to a fence later.
void memory_fence();

}  // namespace lockstep::ptx
