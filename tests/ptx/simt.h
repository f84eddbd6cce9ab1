// simt.h: run CUDA kernels, compiled as plain C++, on the CPU. One fiber per CUDA thread.
// Under nvcc (__CUDACC__) this header only adds simt::launch; under g++/clang++ it is the whole device.
#pragma once
#include <cuda_runtime.h>
#include <cuda_bf16.h>
#include <utility>
#ifdef __CUDACC__
#define SIMT_DYN_SMEM(T, name) extern __shared__ __align__(16) T name[]
namespace simt {
template <class... P, class... A>
cudaError_t launch(void (*k)(P...), dim3 g, dim3 b, size_t smem, cudaStream_t s, A&&... a) {
    cudaLaunchConfig_t c = {}; c.gridDim = g; c.blockDim = b; c.dynamicSmemBytes = smem; c.stream = s;
    return cudaLaunchKernelEx(&c, k, std::forward<A>(a)...);
}
}
#else
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <vector>
#include <sys/mman.h>
#if defined(__SANITIZE_THREAD__)
extern "C" { void* __tsan_create_fiber(unsigned); void __tsan_destroy_fiber(void*); void __tsan_switch_to_fiber(void*, unsigned); void* __tsan_get_current_fiber(); void __tsan_acquire(void*); void __tsan_release(void*); }
extern "C" { void AnnotateIgnoreReadsBegin(const char*, int); void AnnotateIgnoreReadsEnd(const char*, int); void AnnotateIgnoreWritesBegin(const char*, int); void AnnotateIgnoreWritesEnd(const char*, int); }
#define SIMT_TSAN 1
#define SIMT_REUSE 0        // a shared stack would look like a race
#else
#define SIMT_REUSE 1
#endif
#if defined(__SANITIZE_ADDRESS__)
extern "C" { void __asan_unpoison_memory_region(const volatile void*, size_t); void __sanitizer_start_switch_fiber(void**, const void*, size_t); void __sanitizer_finish_switch_fiber(void*, const void**, size_t*); }
#define SIMT_ASAN 1
#endif
#define SIMT_RAW __attribute__((no_sanitize("thread", "address")))
#undef __shared__
#ifdef SIMT_STATIC_SHARED              // one OS thread only, but ASan then puts red zones round static shared arrays
#define __shared__ static
#else
#define __shared__ thread_local        // 'thread_local T s[N]' at block scope is static; 'extern thread_local T s[]' is legal too
#endif
#define SIMT_DYN_SMEM(T, name) T* name = reinterpret_cast<T*>(simt::dyn_smem())
// plain variables, not macros: cudaLaunchConfig_t has members called gridDim and blockDim
inline thread_local uint3 threadIdx, blockIdx;
inline thread_local dim3 blockDim, gridDim;
#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __grid_constant__
#define __grid_constant__
namespace simt {
struct Quiet {                          // the runtime's own state is not the kernel's: hide it from ThreadSanitizer
#ifdef SIMT_TSAN
    Quiet() { AnnotateIgnoreReadsBegin("", 0); AnnotateIgnoreWritesBegin("", 0); }
    ~Quiet() { AnnotateIgnoreWritesEnd("", 0); AnnotateIgnoreReadsEnd("", 0); }
#else
    Quiet() {} ~Quiet() {}
#endif
};
enum State : uint8_t { Ready, AtBarrier, AtWarp, Done };
struct Fiber { void* sp = nullptr; uint3 tid{}; int lin = 0; State st = Ready; bool started = false; void* tsan = nullptr; void* fake = nullptr; int wslot = -1; unsigned wgen = 0; };
struct WarpOp { unsigned mask = 0, arrived = 0, gen = 0; uint64_t val[2][32] = {}; };      // one record per distinct mask
struct Warp { std::vector<WarpOp> ops; unsigned exited = 0; char tag[64] = {}; };
struct Block {
    dim3 grid, block; uint3 bid{}; int n = 0, live = 0, waiting = 0; int bar_or = 0, bar_and = 1, bar_cnt = 0, res_or = 0, res_and = 0, res_cnt = 0;
    std::vector<Fiber> f; std::vector<Warp> warps; std::vector<unsigned char> smem; unsigned char* smem_al = nullptr;
    char* stacks = nullptr; size_t stack_sz = 0; int nstacks = 0; void* main_sp = nullptr; void* main_tsan = nullptr; void* main_fake = nullptr; const void* main_lo = nullptr; size_t main_sz = 0;
    Fiber* cur = nullptr; const std::function<void()>* body = nullptr; unsigned bar_gen = 0; char sync_tag[2] = {};
    std::exception_ptr err;
};
inline thread_local Block* B = nullptr;
inline thread_local uint64_t g_switches = 0;
[[noreturn]] inline void die(const char* m) { throw std::runtime_error(m); }
extern "C" void simt_switch(void** save, void* to);
extern "C" void simt_entry();
#ifdef SIMT_IMPLEMENTATION
asm(".text\n.globl simt_switch\nsimt_switch:\n pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n movq %rsp,(%rdi)\n movq %rsi,%rsp\n"
    " popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n"
    ".globl simt_tramp\nsimt_tramp:\n xorl %ebp,%ebp\n call simt_entry\n ud2\n");
#endif
extern "C" void simt_tramp();
SIMT_RAW inline void to_main(bool dying = false) {
    Block* b = B; Fiber* f = b->cur; (void)dying; g_switches++;
#ifdef SIMT_ASAN
    __sanitizer_start_switch_fiber(dying ? nullptr : &f->fake, b->main_lo, b->main_sz);
#endif
#ifdef SIMT_TSAN
    __tsan_switch_to_fiber(b->main_tsan, 1);            // 1 = no happens-before edge
#endif
    simt_switch(&f->sp, b->main_sp);
#ifdef SIMT_ASAN
    __sanitizer_finish_switch_fiber(f->fake, nullptr, nullptr);
#endif
}
#ifdef SIMT_IMPLEMENTATION
extern "C" void simt_entry() {
    Block* b = B; Fiber* f = b->cur;
#ifdef SIMT_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &b->main_lo, &b->main_sz);
#endif
    try { (*b->body)(); } catch (...) { b->err = std::current_exception(); }
#ifdef SIMT_TSAN
    __tsan_release(b);                                  // the end of the kernel is ordered before its launcher's next step
#endif
    { Quiet q; f->st = Done; } to_main(true); __builtin_unreachable();
}
#endif
SIMT_RAW inline void resume(Block* b, Fiber* f, char* stack_lo) {
    b->cur = f; threadIdx = f->tid; g_switches++;
    if (!f->started) {
        f->started = true;
#ifdef SIMT_ASAN
        __asan_unpoison_memory_region(stack_lo, b->stack_sz);           // a finished fiber leaves poison behind
#endif
        void** p = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack_lo) + b->stack_sz) & ~uintptr_t(15));
        *--p = nullptr; *--p = nullptr; *--p = reinterpret_cast<void*>(&simt_tramp); for (int i = 0; i < 6; i++) *--p = nullptr; f->sp = p;
    }
#ifdef SIMT_ASAN
    __sanitizer_start_switch_fiber(&b->main_fake, stack_lo, b->stack_sz);
#endif
#ifdef SIMT_TSAN
    __tsan_switch_to_fiber(f->tsan, 1);
#endif
    simt_switch(&b->main_sp, f->sp);
#ifdef SIMT_ASAN
    __sanitizer_finish_switch_fiber(b->main_fake, nullptr, nullptr);
#endif
}
inline void release_barrier(Block* b) {
    b->res_or = b->bar_or; b->res_and = b->bar_and; b->res_cnt = b->bar_cnt; b->bar_or = 0; b->bar_and = 1; b->bar_cnt = 0; b->waiting = 0; b->bar_gen++;
    for (auto& f : b->f) if (f.st == AtBarrier) f.st = Ready;
}
inline void barrier(int pred = 0) { Quiet q;
    Block* b = B; Fiber* f = b->cur; b->bar_or |= pred != 0; b->bar_and &= pred != 0; b->bar_cnt += pred != 0;
#ifdef SIMT_TSAN
    char* tag = &b->sync_tag[b->bar_gen & 1];           // one tag per barrier in flight: else a thread already at the next barrier would hide its races
    __tsan_release(tag);
#endif
    f->st = AtBarrier; b->waiting++; to_main();
#ifdef SIMT_TSAN
    __tsan_acquire(tag);
#endif
}
struct Config { int threads = 1; int order = 0; bool lenient = false; size_t stack = 64 << 10; };            // order: 0 up, 1 down, n>1 shuffled with seed n
inline Config& config() { static Config c = [] { Config k; if (auto e = getenv("SIMT_THREADS")) k.threads = atoi(e); if (getenv("SIMT_LENIENT")) k.lenient = true; if (auto e = getenv("LOCKSTEP_EMULATION_ORDER")) k.order = atoi(e);
    if (auto e = getenv("SIMT_STACK_KB")) k.stack = size_t(atoi(e)) << 10; return k; }(); return c; }
inline void complete_warp_op(Block* b, Warp& w, int s, int base) {
    w.ops[s].arrived = 0; w.ops[s].gen++;
    for (int l = base; l < std::min(base + 32, b->n); l++) { Fiber& o = b->f[l]; if (o.st == AtWarp && o.wslot == s) o.st = Ready; }
}
// Warp collective: deposit v, wait for all lanes of mask, return the 32 deposited values.
inline const uint64_t* warp_exchange(unsigned mask, uint64_t v) { Quiet q;
    Block* b = B; Fiber* f = b->cur; Warp& w = b->warps[f->lin >> 5]; unsigned lane = f->lin & 31;
    int in_block = std::min(32, b->n - (f->lin & ~31)); if (in_block < 32) mask &= (1u << in_block) - 1;
    if (!(mask >> lane & 1)) die("warp collective: the calling lane is not in its own mask");
    int s = 0; for (; s < (int)w.ops.size(); s++) if (w.ops[s].mask == mask) break;
    if (s == (int)w.ops.size()) { w.ops.emplace_back(); w.ops[s].mask = mask; }
    unsigned gen = w.ops[s].gen; w.ops[s].val[gen & 1][lane] = v; w.ops[s].arrived |= 1u << lane;
#ifdef SIMT_TSAN
    char* tag = &w.tag[(2 * s + (gen & 1)) & 63]; __tsan_release(tag);
#endif
    if ((w.ops[s].arrived | (config().lenient ? w.exited & mask : 0)) == mask) complete_warp_op(b, w, s, f->lin & ~31);
    else { f->st = AtWarp; f->wslot = s; to_main(); }
#ifdef SIMT_TSAN
    __tsan_acquire(tag);
#endif
    return w.ops[s].val[gen & 1];
}
inline unsigned char* dyn_smem() { return B->smem_al; }
inline void run_block(Block* b, const std::vector<int>& ord) { Quiet q;
    b->live = b->n; b->waiting = 0; b->err = nullptr; for (auto& w : b->warps) w.ops.clear(), w.exited = 0;
    int next_stack = 0, free_stack = -1; static thread_local std::vector<int> stk; stk.assign(b->n, -1);
    for (int i = 0; i < b->n; i++) { Fiber& f = b->f[i]; f.st = Ready; f.started = false;
#ifdef SIMT_TSAN
        f.tsan = __tsan_create_fiber(0);                                                 // all created before any runs: none is ordered before another
#endif
    }
    while (b->live) {
        bool progress = false;
        for (int i : ord) { Fiber& f = b->f[i]; if (f.st != Ready) continue;
            progress = true; if (stk[i] < 0) { if (free_stack >= 0) { stk[i] = free_stack; free_stack = -1; } else stk[i] = next_stack++; }
            resume(b, &f, b->stacks + size_t(stk[i]) * b->stack_sz);
            if (b->err) std::rethrow_exception(b->err);
            if (f.st == Done) { b->live--;
                if (config().lenient) { Warp& w = b->warps[i >> 5]; w.exited |= 1u << (i & 31);      // as the hardware: a lane that has exited is not waited for
                    for (size_t s = 0; s < w.ops.size(); s++) if (w.ops[s].arrived && (w.ops[s].arrived | (w.exited & w.ops[s].mask)) == w.ops[s].mask) complete_warp_op(b, w, s, i & ~31); }
                free_stack = SIMT_REUSE ? stk[i] : -1;        // a thread that never waited hands its stack on: no-sync kernels use one stack
            } }
        if (b->live && b->waiting == b->live) { release_barrier(b); progress = true; }
        if (!progress) { char m[256]; int nb = 0, nw = 0, nd = 0; for (auto& f : b->f) nb += f.st == AtBarrier, nw += f.st == AtWarp, nd += f.st == Done;
            snprintf(m, sizeof m, "deadlock in block (%u,%u,%u): %d threads at __syncthreads, %d in a warp collective, %d exited, of %d", b->bid.x, b->bid.y, b->bid.z, nb, nw, nd, b->n); die(m); }
    }
#ifdef SIMT_TSAN
    __tsan_acquire(b); for (auto& f : b->f) __tsan_destroy_fiber(f.tsan);
#endif
}
inline void run_grid(dim3 g, dim3 blk, size_t smem, const std::function<void()>& body) {
    size_t nb = size_t(g.x) * g.y * g.z; int n = blk.x * blk.y * blk.z; if (n < 1 || n > 1024) die("bad block size"); if (smem > 232448) die("too much shared memory");
    std::atomic<size_t> next{0}; std::exception_ptr err; std::atomic<bool> stop{false};
    std::vector<int> ord(n); for (int i = 0; i < n; i++) ord[i] = i;
    if (config().order == 1) std::reverse(ord.begin(), ord.end());
    if (config().order > 1) { uint32_t s = config().order; for (int i = n - 1; i > 0; i--) { s = s * 1664525u + 1013904223u; std::swap(ord[i], ord[(s >> 8) % (i + 1)]); } }
    auto worker = [&] {
        static thread_local std::unique_ptr<Block> keep; if (!keep) keep.reset(new Block); Block* b = keep.get(); B = b;
        size_t ss = config().stack; if (b->nstacks < n || b->stack_sz != ss) { if (b->stacks) munmap(b->stacks, b->nstacks * b->stack_sz); b->stack_sz = ss; b->nstacks = n;
            b->stacks = (char*)mmap(nullptr, n * ss, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); }
        b->grid = gridDim = g; b->block = blockDim = blk; b->n = n; b->body = &body; b->f.assign(n, Fiber()); b->warps.assign((n + 31) / 32, Warp());
        b->smem.assign(smem + 256, 0); b->smem_al = (unsigned char*)((uintptr_t(b->smem.data()) + 127) & ~uintptr_t(127));
        for (int i = 0; i < n; i++) { b->f[i].lin = i; b->f[i].tid = uint3{i % blk.x, (i / blk.x) % blk.y, i / (blk.x * blk.y)}; }
#ifdef SIMT_TSAN
        b->main_tsan = __tsan_get_current_fiber();
#endif
        try { for (size_t i; !stop && (i = next++) < nb;) { b->bid = blockIdx = uint3{unsigned(i % g.x), unsigned(i / g.x % g.y), unsigned(i / g.x / g.y)};
            memset(b->smem_al, 0xff, smem); run_block(b, ord); } }                       // 0xff: uninitialised shared memory reads as NaN
        catch (...) { if (!stop.exchange(true)) err = std::current_exception(); }
    };
    int nt = std::max(1, std::min<int>(config().threads, nb)); if (nt == 1) worker();
    else { std::vector<std::thread> t; for (int i = 0; i < nt; i++) t.emplace_back(worker); for (auto& x : t) x.join(); }
    if (err) std::rethrow_exception(err);
}
template <class... P, class... A>
cudaError_t launch(void (*k)(P...), dim3 g, dim3 b, size_t smem, cudaStream_t, A&&... a) {
    std::tuple<P...> t(static_cast<P>(std::forward<A>(a))...);                            // arguments are copied, as in CUDA
    run_grid(g, b, smem, [&] { std::apply(k, t); }); return cudaSuccess;
}
template <class T> uint64_t bits(T v) { static_assert(sizeof(T) <= 8); uint64_t u = 0; memcpy(&u, &v, sizeof v); return u; }
template <class T> T unbits(uint64_t u) { T v; memcpy((void*)&v, &u, sizeof v); return v; }
inline int lane() { return B->cur->lin & 31; }
template <class T> T shfl_from(unsigned m, T v, int src, bool ok) { auto r = warp_exchange(m, bits(v)); Quiet q; return ok && (m >> src & 1) ? unbits<T>(r[src]) : v; }
template <class T, class F> T atomic_rmw(T* p, F f) { T o = __atomic_load_n(p, __ATOMIC_RELAXED), n; do n = f(o); while (!__atomic_compare_exchange_n(p, &o, n, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)); return o; }
template <class U, class T, class F> T atomic_rmw_as(T* p, F f) { U o = __atomic_load_n((U*)p, __ATOMIC_RELAXED), n; do n = (U)bits(f(unbits<T>(o))); while (!__atomic_compare_exchange_n((U*)p, &o, n, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)); return unbits<T>(o); }
// D += A*B for one warp, the fragment layout of mma.sync.m16n8k16 row.col f32.bf16.bf16.f32
inline void mma_m16n8k16_bf16(float* d, const unsigned* a, const unsigned* b) {
    auto bf = [](uint64_t w, int hi) { unsigned u = (hi ? (unsigned)w & 0xffff0000u : (unsigned)w << 16); float f; memcpy(&f, &u, 4); return f; };
    uint64_t ra[2][32], rb[32]; memcpy(ra[0], warp_exchange(~0u, a[0] | uint64_t(a[1]) << 32), 256); memcpy(ra[1], warp_exchange(~0u, a[2] | uint64_t(a[3]) << 32), 256); memcpy(rb, warp_exchange(~0u, b[0] | uint64_t(b[1]) << 32), 256);
    int g = lane() >> 2, t = lane() & 3;
    for (int i = 0; i < 4; i++) { int row8 = i >> 1, col = 2 * t + (i & 1); float s = d[i];
        for (int k = 0; k < 16; k++) { uint64_t A = ra[k >> 3][g * 4 + (k & 7) / 2], Bv = rb[col * 4 + (k & 7) / 2];
            s += bf(A >> (32 * row8), k & 1) * bf(Bv >> (32 * (k >> 3)), k & 1); } d[i] = s; }
}
struct Pending { Fiber* f; void* d; const void* s; };
inline thread_local std::vector<Pending> g_pending;       // cp.async copies are made at the wait, so a forgotten wait shows
inline void cp_async16(void* d, const void* s) { if ((uintptr_t(d) | uintptr_t(s)) & 15) die("cp.async: address not aligned to 16"); for (int i = 0; i < 4; i++) ((unsigned*)d)[i] = ~0u; Quiet q; g_pending.push_back({B->cur, d, s}); }
inline void cp_async_wait_all() { std::vector<Pending> mine; { Quiet q; auto& p = g_pending; size_t k = 0; for (auto& c : p) if (c.f == B->cur) mine.push_back(c); else p[k++] = c; p.resize(k); }
    for (auto& c : mine) for (int i = 0; i < 4; i++) ((float*)c.d)[i] = ((const float*)c.s)[i]; }
} // namespace simt
inline constexpr int warpSize = 32;
inline void __syncthreads() { simt::barrier(); }
inline int __syncthreads_or(int p) { simt::barrier(p); return simt::B->res_or; }
inline int __syncthreads_and(int p) { simt::barrier(p); return simt::B->res_and; }
inline int __syncthreads_count(int p) { simt::barrier(p); return simt::B->res_cnt; }
inline void __syncwarp(unsigned m = ~0u) { simt::warp_exchange(m, 0); }
template <class T> T __shfl_sync(unsigned m, T v, int s, int w = 32) { int l = simt::lane(); return simt::shfl_from(m, v, (l & ~(w - 1)) | (s & (w - 1)), true); }
template <class T> T __shfl_xor_sync(unsigned m, T v, int x, int w = 32) { int l = simt::lane(), s = l ^ x; return simt::shfl_from(m, v, s & 31, s < ((l & ~(w - 1)) + w)); }
template <class T> T __shfl_down_sync(unsigned m, T v, unsigned d, int w = 32) { int l = simt::lane(), s = l + d; return simt::shfl_from(m, v, s & 31, s < ((l & ~(w - 1)) + w)); }
template <class T> T __shfl_up_sync(unsigned m, T v, unsigned d, int w = 32) { int l = simt::lane(), s = l - int(d); return simt::shfl_from(m, v, s & 31, s >= (l & ~(w - 1))); }
inline unsigned __ballot_sync(unsigned m, int p) { auto r = simt::warp_exchange(m, p != 0); simt::Quiet q; unsigned b = 0; for (int i = 0; i < 32; i++) if ((m >> i & 1) && r[i]) b |= 1u << i; return b; }
inline int __any_sync(unsigned m, int p) { return __ballot_sync(m, p) != 0; }
inline int __all_sync(unsigned m, int p) { return __ballot_sync(m, !p) == 0; }
inline unsigned __activemask() { return ~0u; }
template <class T> T __ldg(const T* p) { return *p; }
template <class T> T __ldcs(const T* p) { return *p; }
template <class T> void __stcs(T* p, T v) { *p = v; }
inline float __int_as_float(int i) { return simt::unbits<float>((unsigned)i); }
inline int __float_as_int(float f) { return (int)simt::bits(f); }
inline unsigned __float_as_uint(float f) { return (unsigned)simt::bits(f); }
inline float __uint_as_float(unsigned u) { return simt::unbits<float>(u); }
inline int atomicAdd(int* p, int v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
inline unsigned atomicAdd(unsigned* p, unsigned v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
inline unsigned long long atomicAdd(unsigned long long* p, unsigned long long v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
inline float atomicAdd(float* p, float v) { return simt::atomic_rmw_as<uint32_t>(p, [v](float o) { return o + v; }); }
inline double atomicAdd(double* p, double v) { return simt::atomic_rmw_as<uint64_t>(p, [v](double o) { return o + v; }); }
inline __nv_bfloat16 atomicAdd(__nv_bfloat16* p, __nv_bfloat16 v) { return simt::atomic_rmw_as<uint16_t>(p, [v](__nv_bfloat16 o) { return o + v; }); }
template <class T> T atomicMax(T* p, T v) { return simt::atomic_rmw(p, [v](T o) { return o > v ? o : v; }); }
template <class T> T atomicMin(T* p, T v) { return simt::atomic_rmw(p, [v](T o) { return o < v ? o : v; }); }
template <class T> T atomicExch(T* p, T v) { T r; __atomic_exchange(p, &v, &r, __ATOMIC_RELAXED); return r; }
template <class T> T atomicCAS(T* p, T c, T v) { __atomic_compare_exchange_n(p, &c, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED); return c; }
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline float rsqrtf(float x) { return (float)(1.0 / std::sqrt((double)x)); }
inline float __expf(float x) { return expf(x); }  inline float __logf(float x) { return logf(x); }  inline float __sinf(float x) { return sinf(x); }  inline float __cosf(float x) { return cosf(x); }
inline float __fdividef(float a, float b) { return a / b; }  inline float __frcp_rn(float a) { return 1.f / a; }  inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }  inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }  inline int __ffs(int x) { return __builtin_ffs(x); }
inline __nv_bfloat16 __hfma(__nv_bfloat16 a, __nv_bfloat16 b, __nv_bfloat16 c) { return __float2bfloat16(fmaf(__bfloat162float(a), __bfloat162float(b), __bfloat162float(c))); }
inline __nv_bfloat162 __hfma2(__nv_bfloat162 a, __nv_bfloat162 b, __nv_bfloat162 c) { return __nv_bfloat162(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)); }
#endif // host
