// What ThreadSanitizer and AddressSanitizer must be told of stacks that change under them and of
// CUDA's barriers. Empty in a plain build. This folder's own code is never instrumented, only
// translated code is; LOCKSTEP_CHECK_thread and LOCKSTEP_CHECK_address say which variant this is.
#pragma once
#include <cstddef>

#ifdef LOCKSTEP_CHECK_thread
extern "C" {
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void* __tsan_get_current_fiber();
void __tsan_acquire(void* tag);
void __tsan_release(void* tag);
}
#endif
#ifdef LOCKSTEP_CHECK_address
extern "C" {
void __asan_poison_memory_region(const volatile void* memory, std::size_t bytes);
void __asan_unpoison_memory_region(const volatile void* memory, std::size_t bytes);
void __sanitizer_start_switch_fiber(void** save, const void* stack, std::size_t bytes);
void __sanitizer_finish_switch_fiber(void* saved, const void** stack, std::size_t* bytes);
}
#endif

namespace lockstep::ptx {

#ifdef LOCKSTEP_CHECK_thread
constexpr bool kRaceCheck = true;
#else
constexpr bool kRaceCheck = false;
#endif

// All that was done before a release of a tag happens before what follows a later acquire of it.
inline void release([[maybe_unused]] void* tag) {
#ifdef LOCKSTEP_CHECK_thread
  __tsan_release(tag);
#endif
}
inline void acquire([[maybe_unused]] void* tag) {
#ifdef LOCKSTEP_CHECK_thread
  __tsan_acquire(tag);
#endif
}

inline void poison([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef LOCKSTEP_CHECK_address
  __asan_poison_memory_region(memory, bytes);
#endif
}
inline void unpoison([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef LOCKSTEP_CHECK_address
  __asan_unpoison_memory_region(memory, bytes);
#endif
}

}  // namespace lockstep::ptx
