// Loads, stores, atomics and asynchronous copies. Every address is checked: its alignment to the
// whole access, and, in shared memory, that it lies within the launch. Inline, so that in the
// checked variants the sanitizers see each access.
#pragma once
#include <array>

#include "tests/ptx/instructions/numbers.h"
#include "tests/ptx/thread.h"

namespace lockstep::ptx {

constexpr std::uint64_t kNullPage = 4096;

inline void check_address(const Thread& self, std::uint64_t address, unsigned bytes,
                          const char* at) {
  if (__builtin_expect((address & (bytes - 1)) != 0 || address < kNullPage, 0))
    fail_address(self, at, address, bytes);
}

// The generic address of an offset into shared memory.
inline std::uint64_t shared_address(const Thread& self, const SharedMemory& shared,
                                    std::uint64_t offset, unsigned bytes, const char* at) {
  if (__builtin_expect(offset + bytes > shared.bytes || offset > shared.bytes, 0))
    fail_shared(self, at, offset, bytes);
  return reinterpret_cast<std::uint64_t>(shared.base) + offset;
}
inline bool in_shared(const SharedMemory& shared, std::uint64_t address) {
  return address - reinterpret_cast<std::uint64_t>(shared.base) < shared.bytes;
}

template <class T>
inline T load(const Thread& self, std::uint64_t address, const char* at) {
  check_address(self, address, sizeof(T), at);
  T value;
  std::memcpy(&value, reinterpret_cast<const void*>(address), sizeof value);
  return value;
}
template <class T, int kCount>
inline std::array<T, kCount> load_vector(const Thread& self, std::uint64_t address,
                                         const char* at) {
  check_address(self, address, sizeof(T) * kCount, at);
  std::array<T, kCount> values;
  std::memcpy(values.data(), reinterpret_cast<const void*>(address), sizeof values);
  return values;
}
template <class T>
inline void store(const Thread& self, std::uint64_t address, T value, const char* at) {
  check_address(self, address, sizeof(T), at);
  std::memcpy(reinterpret_cast<void*>(address), &value, sizeof value);
}
template <class T, int kCount>
inline void store_vector(const Thread& self, std::uint64_t address,
                         const std::array<T, kCount>& values, const char* at) {
  check_address(self, address, sizeof(T) * kCount, at);
  std::memcpy(reinterpret_cast<void*>(address), values.data(), sizeof values);
}

// Volatile, relaxed, acquire and release accesses race with nothing.
template <class T>
inline T load_atomic(const Thread& self, std::uint64_t address, const char* at) {
  check_address(self, address, sizeof(T), at);
  return __atomic_load_n(reinterpret_cast<const T*>(address), __ATOMIC_ACQUIRE);
}
template <class T>
inline void store_atomic(const Thread& self, std::uint64_t address, T value, const char* at) {
  check_address(self, address, sizeof(T), at);
  __atomic_store_n(reinterpret_cast<T*>(address), value, __ATOMIC_RELEASE);
}

// Parameters of a kernel, and locals and arguments of functions: nothing to check.
template <class T>
inline T load_private(std::uint64_t address) {
  T value;
  std::memcpy(&value, reinterpret_cast<const void*>(address), sizeof value);
  return value;
}

// The old value, replaced by change(old). kOrder: __ATOMIC_RELAXED where PTX says no other.
template <class T, int kOrder, class Change>
inline T atomic(const Thread& self, std::uint64_t address, Change change, const char* at) {
  using W = typename Word<T>::Type;
  check_address(self, address, sizeof(T), at);
  auto* const memory = reinterpret_cast<W*>(address);
  W old = __atomic_load_n(memory, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(memory, &old, bits(T(change(as<T>(old)))), true, kOrder,
                                      __ATOMIC_RELAXED)) {
  }
  return as<T>(old);
}

// From here to its landing the target's content is undefined: all ones, so that a forgotten wait
// shows.
inline void async_copy(Thread& self, std::uint64_t to, std::uint64_t from, unsigned bytes,
                       unsigned from_bytes, const char* at) {
  check_address(self, to, bytes, at);
  if (from_bytes > 0) check_address(self, from, bytes, at);
  auto* const target = reinterpret_cast<std::uint8_t*>(to);
  std::memset(target, 0xFF, bytes);
  queue_copy(self, {target, reinterpret_cast<const std::uint8_t*>(from), bytes,
                    from_bytes < bytes ? from_bytes : bytes, 0});
}
inline void async_wait(Thread& self, unsigned pending) {
  AsyncCopy copy;
  while (next_copy(self, pending, copy)) {
    std::memcpy(copy.to, copy.from, copy.from_bytes);
    std::memset(copy.to + copy.from_bytes, 0, copy.bytes - copy.from_bytes);
  }
}

}  // namespace lockstep::ptx
