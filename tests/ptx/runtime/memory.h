// Where device memory lies: for each device one span of addresses, backed by a file in memory that
// other processes can map. Nobody may touch it but the work of a device while it runs. What is not
// allocated is mapped beyond the end of an empty file, so a kernel that strays there faults
// although one mprotect opens the whole span. All functions want the lock of call.h, except where
// said.
#pragma once
#include <driver_types.h>

#include <cstddef>
#include <cstdint>

namespace lockstep::emulation {

struct Allocation {
  enum class Kind { kDevice, kPinned, kRegistered, kManaged, kOpened };
  std::uintptr_t address = 0;
  std::size_t bytes = 0;     // as asked for
  std::uintptr_t pages = 0;  // first page; what is mapped
  std::size_t mapped = 0;
  Kind kind = Kind::kDevice;
  int device = 0;
  std::uint64_t number = 0;  // counted from 1, for messages
  unsigned flags = 0;        // of cudaHostAlloc
  int opened = 0;            // kOpened: times
  bool on_device() const { return kind == Kind::kDevice || kind == Kind::kOpened; }
  bool holds(std::uintptr_t at) const { return at >= address && at - address < bytes; }
};

// Filled with 0xFF, on a 256-byte boundary, its end next to a page that faults. Throws
// std::bad_alloc where the device's memory does not suffice.
void* allocate(std::size_t bytes, Allocation::Kind kind, int device, unsigned flags = 0);
// A copy of a file of another process in this one's addresses; opened again, the same.
struct Shared {
  int process, file;
  std::uint64_t offset, mapped, head, bytes;  // head: of the data in its first page
};
cudaError_t share(const Allocation& allocation, Shared& shared);
cudaError_t open_shared(const Shared& shared, int device, void** data);
void register_host(void* data, std::size_t bytes, unsigned flags);
// data: the start of an allocation of one of two kinds.
cudaError_t release(void* data, Allocation::Kind kind, Allocation::Kind or_kind);

// The one that holds the address, or null. Also from the fault handler, without the lock.
const Allocation* find_allocation(const void* data);
// The nearest one at or below the address.
const Allocation* allocation_below(const void* data);
bool in_device_span(const void* data);
std::size_t memory_used(int device);

// Variables of kernels count as device memory.
void add_variable(void* data, std::size_t bytes);

enum class Place { kDevice, kPinned, kPageable, kOutside };
// Where [data, data + bytes) lies; kOutside: partly in an allocation, partly beyond its end.
Place place_of(const void* data, std::size_t bytes);

// Counted; between them device memory is accessible.
void open_device_memory();
void close_device_memory();

}  // namespace lockstep::emulation
