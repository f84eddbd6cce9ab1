// A stand-in for libcudart: enough of the runtime API for a program built with `nvcc -cudart none` to run its
// kernels (translated by ptx2cpp.py) on the CPU.  "Device" memory is malloc memory; everything is synchronous.
#include "tests/ptx/emulator.h"
#include <cuda_runtime.h>
#include <string.h>
#include <vector>
#include <string>
#include <algorithm>
#include <chrono>
#include <unordered_map>
#define API extern "C" __attribute__((visibility("default")))
static std::unordered_map<const void*, std::string>& kern() { static std::unordered_map<const void*, std::string> m; return m; }
static std::unordered_map<const void*, std::string>& vars() { static std::unordered_map<const void*, std::string> m; return m; }
struct Cfg { dim3 g, b; size_t s; cudaStream_t st; }; static std::vector<Cfg> stack_; static cudaError_t last = cudaSuccess; static uint64_t launches = 0, last_launch_ns = 0;
#undef cudaGetDeviceProperties
API void** __cudaRegisterFatBinary(void*) { static void* h; return &h; }
API void __cudaRegisterFatBinaryEnd(void**) {}
API void __cudaUnregisterFatBinary(void**) { if (getenv("SIMT_STATS")) fprintf(stderr, "[simt] %llu launches\n", (unsigned long long)launches); }
API char __cudaInitModule(void**) { return 1; }
API void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*, int*) { kern()[host] = name; }
API void __cudaRegisterVar(void**, char* host, char*, const char* name, int, size_t, int, int) { vars()[host] = name; }
API unsigned __cudaPushCallConfiguration(dim3 g, dim3 b, size_t s, void* st) { stack_.push_back({g, b, s, (cudaStream_t)st}); return 0; }
API cudaError_t __cudaPopCallConfiguration(dim3* g, dim3* b, size_t* s, void* st) { auto c = stack_.back(); stack_.pop_back(); *g = c.g; *b = c.b; *s = c.s; *(cudaStream_t*)st = c.st; return cudaSuccess; }
API cudaError_t __cudaGetKernel(cudaKernel_t* k, const void* f) { *k = (cudaKernel_t)f; return cudaSuccess; }
API cudaError_t cudaLaunchKernel(const void* f, dim3 g, dim3 b, void** args, size_t smem, cudaStream_t) {
    auto it = kern().find(f); if (it == kern().end()) { last = cudaErrorInvalidDeviceFunction; return last; }
    auto t = lockstep::ptx::find_kernel(it->second); if (!t) { fprintf(stderr, "[simt] no translation of %s\n", it->second.c_str()); last = cudaErrorInvalidDeviceFunction; return last; }
    auto& k = *t; std::vector<uint8_t> p(k.parameter_bytes + 16); for (size_t i = 0; i < k.parameter_sizes.size(); i++) memcpy(&p[k.parameter_offsets[i]], args[i], k.parameter_sizes[i]);
    launches++; try { lockstep::ptx::run_kernel(k, g, b, smem, p.data()); } catch (std::exception& e) { fprintf(stderr, "[emulator] %s\n", e.what()); last = cudaErrorLaunchFailure; }
    return last; }
API cudaError_t __cudaLaunchKernel(cudaKernel_t k, dim3 g, dim3 b, void** a, size_t s, cudaStream_t st) { return cudaLaunchKernel((const void*)k, g, b, a, s, st); }
API cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* f, void** a) { return cudaLaunchKernel(f, c->gridDim, c->blockDim, a, c->dynamicSmemBytes, c->stream); }
API cudaError_t cudaLaunchCooperativeKernel(const void* f, dim3 g, dim3 b, void** a, size_t s, cudaStream_t st) { if (g.x * g.y * g.z > 1) return last = cudaErrorNotSupported; return cudaLaunchKernel(f, g, b, a, s, st); }
API cudaError_t cudaMalloc(void** p, size_t n) { *p = aligned_alloc(256, (std::max<size_t>(n, 1) + 255) / 256 * 256); if (*p) memset(*p, 0xff, n); return *p ? cudaSuccess : cudaErrorMemoryAllocation; }
API cudaError_t cudaMallocManaged(void** p, size_t n, unsigned) { return cudaMalloc(p, n); }
API cudaError_t cudaMallocAsync(void** p, size_t n, cudaStream_t) { return cudaMalloc(p, n); }
API cudaError_t cudaMallocHost(void** p, size_t n) { return cudaMalloc(p, n); }
API cudaError_t cudaHostAlloc(void** p, size_t n, unsigned) { return cudaMalloc(p, n); }
API cudaError_t cudaFree(void* p) { free(p); return cudaSuccess; }
API cudaError_t cudaFreeAsync(void* p, cudaStream_t) { free(p); return cudaSuccess; }
API cudaError_t cudaFreeHost(void* p) { free(p); return cudaSuccess; }
API cudaError_t cudaMemcpy(void* d, const void* s, size_t n, cudaMemcpyKind) { memmove(d, s, n); return cudaSuccess; }
API cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, cudaMemcpyKind, cudaStream_t) { memmove(d, s, n); return cudaSuccess; }
API cudaError_t cudaMemcpy2D(void* d, size_t dp, const void* s, size_t sp, size_t w, size_t h, cudaMemcpyKind) { for (size_t i = 0; i < h; i++) memmove((char*)d + i * dp, (const char*)s + i * sp, w); return cudaSuccess; }
API cudaError_t cudaMemset(void* d, int v, size_t n) { memset(d, v, n); return cudaSuccess; }
API cudaError_t cudaMemsetAsync(void* d, int v, size_t n, cudaStream_t) { memset(d, v, n); return cudaSuccess; }
static void* var_of(const void* s) { auto it = vars().find(s); if (it == vars().end()) return nullptr; auto j = lockstep::ptx::find_variable(it->second); return j.data; }
API cudaError_t cudaMemcpyFromSymbol(void* d, const void* s, size_t n, size_t o, cudaMemcpyKind) { char* p = (char*)var_of(s); if (!p) return cudaErrorInvalidSymbol; memcpy(d, p + o, n); return cudaSuccess; }
API cudaError_t cudaMemcpyToSymbol(const void* s, const void* d, size_t n, size_t o, cudaMemcpyKind) { char* p = (char*)var_of(s); if (!p) return cudaErrorInvalidSymbol; memcpy(p + o, d, n); return cudaSuccess; }
API cudaError_t cudaGetSymbolAddress(void** p, const void* s) { *p = var_of(s); return *p ? cudaSuccess : cudaErrorInvalidSymbol; }
API cudaError_t cudaDeviceSynchronize() { return last; }
API cudaError_t cudaStreamSynchronize(cudaStream_t) { return last; }
API cudaError_t cudaStreamCreate(cudaStream_t* s) { *s = (cudaStream_t)malloc(1); return cudaSuccess; }
API cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) { return cudaStreamCreate(s); }
API cudaError_t cudaStreamDestroy(cudaStream_t s) { free(s); return cudaSuccess; }
API cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
using Clk = std::chrono::steady_clock;
API cudaError_t cudaEventCreate(cudaEvent_t* e) { *e = (cudaEvent_t) new Clk::time_point; return cudaSuccess; }
API cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) { return cudaEventCreate(e); }
API cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t) { *(Clk::time_point*)e = Clk::now(); return cudaSuccess; }
API cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
API cudaError_t cudaEventElapsedTime(float* t, cudaEvent_t a, cudaEvent_t b) { *t = std::chrono::duration<float, std::milli>(*(Clk::time_point*)b - *(Clk::time_point*)a).count(); return cudaSuccess; }
API cudaError_t cudaEventDestroy(cudaEvent_t e) { delete (Clk::time_point*)e; return cudaSuccess; }
API cudaError_t cudaGetLastError() { auto e = last; last = cudaSuccess; return e; }
API cudaError_t cudaPeekAtLastError() { return last; }
API const char* cudaGetErrorString(cudaError_t e) { return e == cudaSuccess ? "no error" : e == cudaErrorLaunchFailure ? "kernel failed in the emulation" : "emulated CUDA error"; }
API const char* cudaGetErrorName(cudaError_t e) { return cudaGetErrorString(e); }
API cudaError_t cudaGetDeviceCount(int* n) { *n = 1; return cudaSuccess; }
API cudaError_t cudaSetDevice(int d) { return d ? cudaErrorInvalidDevice : cudaSuccess; }
API cudaError_t cudaGetDevice(int* d) { *d = 0; return cudaSuccess; }
API cudaError_t cudaDeviceReset() { return cudaSuccess; }
API cudaError_t cudaMemGetInfo(size_t* f, size_t* t) { *f = *t = 8ull << 30; return cudaSuccess; }
API cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) { memset(p, 0, sizeof *p); strcpy(p->name, "CPU emulation"); p->major = 8; p->minor = 0; p->warpSize = 32; p->multiProcessorCount = 4; p->maxThreadsPerBlock = 1024; p->maxThreadsPerMultiProcessor = 2048; p->sharedMemPerBlock = 49152; p->sharedMemPerBlockOptin = 166912; p->sharedMemPerMultiprocessor = 167936; p->totalGlobalMem = 8ull << 30; p->l2CacheSize = 4 << 20; for (int i = 0; i < 3; i++) p->maxThreadsDim[i] = 1024, p->maxGridSize[i] = 65535; return cudaSuccess; }
API cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr a, int) { *v = a == cudaDevAttrMultiProcessorCount ? 4 : a == cudaDevAttrMaxThreadsPerMultiProcessor ? 2048 : a == cudaDevAttrMaxSharedMemoryPerBlockOptin ? 166912 : a == cudaDevAttrComputeCapabilityMajor ? 8 : a == cudaDevAttrMaxThreadsPerBlock ? 1024 : 0; return cudaSuccess; }
API cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
API cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void*) { memset(a, 0, sizeof *a); a->maxThreadsPerBlock = 1024; return cudaSuccess; }
API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, const void*, int, size_t) { *n = 2; return cudaSuccess; }
API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* n, const void*, int, size_t, unsigned) { *n = 2; return cudaSuccess; }
#include "tests/ptx/runtime/enqueue.h"
API cudaError_t lockstep_emulation_enqueue(cudaStream_t, const char*, void (*run)(void*), void* data, void (*release)(void*)) { run(data); release(data); return cudaSuccess; }
