#include "tests/ptx/runtime/memory.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <vector>

#include "tests/ptx/runtime/settings.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define LOCKSTEP_POISON(data, bytes) ASAN_POISON_MEMORY_REGION(data, bytes)
#define LOCKSTEP_UNPOISON(data, bytes) ASAN_UNPOISON_MEMORY_REGION(data, bytes)
#else
#define LOCKSTEP_POISON(data, bytes) (void)0
#define LOCKSTEP_UNPOISON(data, bytes) (void)0
#endif

namespace lockstep::emulation {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kAlignment = 256;  // of cudaMalloc
// Guarding costs 0.3 us a page in use and wait. Where that is much, not every wait ends with memory
// closed: guarding takes at most one part in kShare of the time.
using Clock = std::chrono::steady_clock;
constexpr auto kCheap = std::chrono::microseconds(200);
constexpr int kShare = 10;
constexpr std::size_t kLeastSpan = std::size_t{256} << 30;

std::size_t up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }
void* pointer(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

// The raw call: the sanitizers would set up shadow memory for all of a span.
void* map_pages(std::uintptr_t at, std::size_t bytes, int protection, int flags, int file,
                std::size_t offset) {
  const long result = syscall(SYS_mmap, at, bytes, protection, flags, file, offset);
  if (result == -1) throw std::bad_alloc();
  return reinterpret_cast<void*>(result);
}

int make_file(const char* name, std::size_t bytes) {
  const int file = memfd_create(name, MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0) throw std::bad_alloc();
  return file;
}

// Addresses of one device, or those of memory opened from other processes.
struct Span {
  std::uintptr_t begin = 0, end = 0, next = 0;
  int file = -1;
  std::size_t used = 0;  // bytes of allocations
};

struct Memory {
  std::vector<std::unique_ptr<Span>> spans;  // by device; null until used
  std::unique_ptr<Span> opened_span;
  std::map<std::uintptr_t, Allocation> allocations;  // by address
  std::vector<std::pair<std::uintptr_t, std::size_t>> variables;
  struct Opened {
    Shared shared;
    std::uintptr_t address;
  };
  std::vector<Opened> opened;
  int empty = make_file("lockstep-nothing", 0);
  int open = 0;
  bool left_open = false;  // although nothing runs
  Clock::time_point last_change;
  Clock::duration cost{};  // of opening
  std::uint64_t allocated = 0;
};
// Never destroyed: objects of the program may release memory at its end.
Memory& memory() {
  static Memory& m = *new Memory;
  return m;
}

int protection_now() {
  return memory().open || memory().left_open ? PROT_READ | PROT_WRITE : PROT_NONE;
}

Span& make_span(std::unique_ptr<Span>& span, bool with_file) {
  if (span) return *span;
  auto made = std::make_unique<Span>();
  const std::size_t bytes = std::max(kLeastSpan, up(8 * settings().memory, kPage));
  if (with_file) made->file = make_file("lockstep-device", bytes);
  const int protection = protection_now();
  made->begin = reinterpret_cast<std::uintptr_t>(
      map_pages(0, bytes, protection, MAP_SHARED | MAP_NORESERVE, memory().empty, 0));
  made->end = made->begin + bytes;
  made->next = made->begin + kPage;
  span = std::move(made);
  return *span;
}

Span& span_of_device(int device) {
  auto& spans = memory().spans;
  if (spans.size() <= static_cast<std::size_t>(device)) spans.resize(device + 1);
  return make_span(spans[device], true);
}

// Addresses are not used again before the span has been gone through: use after free is noticed.
std::uintptr_t find_pages(Span& span, std::size_t bytes) {
  auto& all = memory().allocations;
  if (span.used == 0) span.next = span.begin + kPage;
  for (int round = 0; round < 2; ++round) {
    std::uintptr_t at = span.next;
    for (auto it = all.lower_bound(at); at + bytes + kPage <= span.end; ++it) {
      if (it == all.end() || it->second.pages >= at + bytes + kPage) {
        span.next = at + bytes + kPage;
        return at;
      }
      at = it->second.pages + it->second.mapped + kPage;
    }
    span.next = span.begin + kPage;
  }
  throw std::bad_alloc();
}

// At the end of its pages, so that the page behind them ends it.
void* add(Allocation allocation) {
  Memory& m = memory();
  allocation.number = ++m.allocated;
  m.allocations[allocation.address] = allocation;
  return pointer(allocation.address);
}

void* allocate_on_host(std::size_t bytes, Allocation allocation) {
  allocation.mapped = up(std::max<std::size_t>(bytes, 1), kPage);
  allocation.pages = reinterpret_cast<std::uintptr_t>(map_pages(
      0, allocation.mapped + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(pointer(allocation.pages + allocation.mapped), kPage, PROT_NONE);
  // Pinned memory begins with a page, as the real one.
  allocation.address = allocation.pages;
  std::memset(pointer(allocation.pages), 0xFF, allocation.mapped);
  return add(allocation);
}

// A few bytes lie between what was asked for and the next 256-byte boundary.
void check_slack(const Allocation& a) {
#if !defined(__SANITIZE_ADDRESS__)
  const auto* end = static_cast<const unsigned char*>(pointer(a.pages + a.mapped));
  for (const auto* at = static_cast<const unsigned char*>(pointer(a.address + a.bytes)); at < end;
       ++at) {
    if (*at == 0xFF) continue;
    std::fprintf(
        stderr,
        "emulated CUDA: something wrote behind the end of allocation %llu, of %zu bytes on "
        "device %d (seen as it was freed)\n",
        static_cast<unsigned long long>(a.number), a.bytes, a.device);
    std::_Exit(70);
  }
#else
  (void)a;
#endif
}

void unmap(const Allocation& a) {
  map_pages(a.pages, a.mapped, protection_now(), MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
            memory().empty, 0);
}

void set_protection(int protection) {
  const auto set = [&](const std::unique_ptr<Span>& span) {
    if (span && span->used) mprotect(pointer(span->begin), span->end - span->begin, protection);
  };
  for (const auto& span : memory().spans) set(span);
  set(memory().opened_span);
}

}  // namespace

void* allocate(std::size_t bytes, Allocation::Kind kind, int device, unsigned flags) {
  Allocation a;
  a.bytes = bytes;
  a.kind = kind;
  a.device = device;
  a.flags = flags;
  if (kind != Allocation::Kind::kDevice) return allocate_on_host(bytes, a);
  Span& span = span_of_device(device);
  const std::size_t taken = up(std::max<std::size_t>(bytes, 1), kAlignment);
  if (taken > settings().memory || span.used > settings().memory - taken) throw std::bad_alloc();
  a.mapped = up(taken, kPage);
  a.pages = find_pages(span, a.mapped);
  a.address = a.pages + a.mapped - taken;
  map_pages(a.pages, a.mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
            span.file, a.pages - span.begin);
  LOCKSTEP_UNPOISON(pointer(a.pages), a.mapped);
  std::memset(pointer(a.pages), 0xFF, a.mapped);
  if (protection_now() == PROT_NONE) mprotect(pointer(a.pages), a.mapped, PROT_NONE);
  LOCKSTEP_POISON(pointer(a.pages), a.address - a.pages);
  LOCKSTEP_POISON(pointer(a.address + a.bytes), a.pages + a.mapped - a.address - a.bytes);
  span.used += taken;
  return add(a);
}

cudaError_t share(const Allocation& a, Shared& shared) {
  const Span& span = span_of_device(a.device);
  shared = {getpid(), span.file, a.pages - span.begin, a.mapped, a.address - a.pages, a.bytes};
  return cudaSuccess;
}

cudaError_t open_shared(const Shared& shared, int device, void** data) {
  Memory& m = memory();
  for (const Memory::Opened& each : m.opened)
    if (std::memcmp(&each.shared, &shared, sizeof shared) == 0) {
      ++m.allocations.at(each.address).opened;
      *data = pointer(each.address);
      return cudaSuccess;
    }
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/fd/%d", shared.process, shared.file);
  const int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return cudaErrorInvalidResourceHandle;  // its process has ended
  Span& span = make_span(m.opened_span, false);
  Allocation a;
  a.kind = Allocation::Kind::kOpened;
  a.bytes = shared.bytes;
  a.device = device;
  a.mapped = shared.mapped;
  a.pages = find_pages(span, a.mapped);
  a.address = a.pages + shared.head;
  a.opened = 1;
  map_pages(a.pages, a.mapped, protection_now(), MAP_SHARED | MAP_NORESERVE | MAP_FIXED, file,
            shared.offset);
  close(file);
  LOCKSTEP_UNPOISON(pointer(a.pages), a.mapped);
  LOCKSTEP_POISON(pointer(a.pages), a.address - a.pages);
  LOCKSTEP_POISON(pointer(a.address + a.bytes), a.pages + a.mapped - a.address - a.bytes);
  span.used += up(std::max<std::size_t>(a.bytes, 1), kAlignment);
  m.opened.push_back({shared, a.address});
  *data = add(a);
  return cudaSuccess;
}

void register_host(void* data, std::size_t bytes, unsigned flags) {
  Allocation a;
  a.address = a.pages = reinterpret_cast<std::uintptr_t>(data);
  a.bytes = a.mapped = bytes;
  a.kind = Allocation::Kind::kRegistered;
  a.flags = flags;
  add(a);
}

cudaError_t release(void* data, Allocation::Kind kind, Allocation::Kind or_kind) {
  Memory& m = memory();
  const auto found = m.allocations.find(reinterpret_cast<std::uintptr_t>(data));
  if (found == m.allocations.end()) return cudaErrorInvalidValue;
  Allocation& a = found->second;
  if (a.kind != kind && a.kind != or_kind) return cudaErrorInvalidValue;
  if (a.kind == Allocation::Kind::kOpened && --a.opened > 0) return cudaSuccess;
  if (a.on_device()) {
    const bool own = a.kind == Allocation::Kind::kDevice;
    Span& span = own ? span_of_device(a.device) : *m.opened_span;
    if (own) {
      if (protection_now() == PROT_NONE)
        mprotect(pointer(a.pages), a.mapped, PROT_READ | PROT_WRITE);
      check_slack(a);
    }
    LOCKSTEP_UNPOISON(pointer(a.pages), a.mapped);
    unmap(a);
    if (own)
      fallocate(span.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                static_cast<off_t>(a.pages - span.begin), static_cast<off_t>(a.mapped));
    span.used -= up(std::max<std::size_t>(a.bytes, 1), kAlignment);
    if (!own)
      std::erase_if(m.opened, [&](const Memory::Opened& o) { return o.address == a.address; });
  } else if (a.kind != Allocation::Kind::kRegistered) {
    munmap(pointer(a.pages), a.mapped + kPage);
  }
  m.allocations.erase(found);
  return cudaSuccess;
}

const Allocation* allocation_below(const void* data) {
  const auto& all = memory().allocations;
  auto it = all.upper_bound(reinterpret_cast<std::uintptr_t>(data));
  return it == all.begin() ? nullptr : &std::prev(it)->second;
}

const Allocation* find_allocation(const void* data) {
  const Allocation* a = allocation_below(data);
  return a && a->holds(reinterpret_cast<std::uintptr_t>(data)) ? a : nullptr;
}

bool in_device_span(const void* data) {
  const auto at = reinterpret_cast<std::uintptr_t>(data);
  const auto in = [&](const std::unique_ptr<Span>& s) {
    return s && at >= s->begin && at < s->end;
  };
  return in(memory().opened_span) || std::any_of(memory().spans.begin(), memory().spans.end(), in);
}

std::size_t memory_used(int device) { return span_of_device(device).used; }

void add_variable(void* data, std::size_t bytes) {
  memory().variables.emplace_back(reinterpret_cast<std::uintptr_t>(data), bytes);
}

Place place_of(const void* data, std::size_t bytes) {
  const auto at = reinterpret_cast<std::uintptr_t>(data);
  if (const Allocation* a = find_allocation(data)) {
    // Registered memory may be used together with what lies beside it.
    if (bytes > a->bytes - (at - a->address))
      return a->kind == Allocation::Kind::kRegistered ? Place::kPageable : Place::kOutside;
    return a->on_device() ? Place::kDevice : Place::kPinned;
  }
  for (const auto& [begin, size] : memory().variables)
    if (at >= begin && at - begin < size)
      return bytes <= size - (at - begin) ? Place::kDevice : Place::kOutside;
  return in_device_span(data) ? Place::kOutside : Place::kPageable;
}

void open_device_memory() {
  Memory& m = memory();
  if (m.open++ > 0 || m.left_open) return;
  const auto begin = Clock::now();
  set_protection(PROT_READ | PROT_WRITE);
  m.last_change = Clock::now();
  m.cost = m.last_change - begin;
}

void close_device_memory() {
  Memory& m = memory();
  if (--m.open > 0) return;
  const auto begin = Clock::now();
  m.left_open = settings().guard == 0 || (settings().guard == 1 && m.cost > kCheap &&
                                          begin - m.last_change < kShare * m.cost);
  if (!m.left_open) set_protection(PROT_NONE);
}

}  // namespace lockstep::emulation
