// Run-time support for the C++ which ptx2cpp.py writes.
#pragma once
#include "simt.h"
#include "tests/ptx/emulator.h"
#include <cfenv>
#include <limits>
#include <map>
#include <string>
#ifdef PTX_COUNT
#define PTX_COUNT1 (ptx::icount++)
#else
#define PTX_COUNT1 ((void)0)
#endif
#define PTX_BLOCK ((void)0)
namespace ptx {
inline uint64_t icount = 0; inline thread_local size_t dyn_size = 0, smem_size = 0;
template <class T, class U> inline T bc(U u) { static_assert(sizeof(T) == sizeof(U)); T t; memcpy((void*)&t, &u, sizeof t); return t; }
inline float bf2f(uint16_t h) { return bc<float>((uint32_t)h << 16); }
inline uint16_t f2bf(float f) { uint32_t u = bc<uint32_t>(f); if (f != f) return 0x7fff; u += 0x7fff + ((u >> 16) & 1); return u >> 16; }
struct bf16 { uint16_t b; bf16() = default; bf16(float f) : b(f2bf(f)) {} operator float() const { return bf2f(b); } };
struct f16 { uint16_t b; f16() = default; f16(float f) : b(bc<uint16_t>((_Float16)f)) {} operator float() const { return (float)bc<_Float16>(b); } };
template <class H> struct x2 { H lo, hi; static x2 make(float l, float h) { return {H(l), H(h)}; } };
using bf16x2 = x2<bf16>; using f16x2 = x2<f16>; struct f32x2 { float lo, hi; };
template <class H> x2<H> operator+(x2<H> a, x2<H> b) { return {H((float)a.lo + b.lo), H((float)a.hi + b.hi)}; }
template <class H> x2<H> operator-(x2<H> a, x2<H> b) { return {H((float)a.lo - b.lo), H((float)a.hi - b.hi)}; }
template <class H> x2<H> operator*(x2<H> a, x2<H> b) { return {H((float)a.lo * b.lo), H((float)a.hi * b.hi)}; }
template <class H> x2<H> operator-(x2<H> a) { return {H(-(float)a.lo), H(-(float)a.hi)}; }
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); } inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline bf16 fma(bf16 a, bf16 b, bf16 c) { return bf16(fmaf(a, b, c)); } inline f16 fma(f16 a, f16 b, f16 c) { return f16((float)::fma((double)(float)a, (double)(float)b, (double)(float)c)); }
template <class H> x2<H> fma(x2<H> a, x2<H> b, x2<H> c) { return {fma(a.lo, b.lo, c.lo), fma(a.hi, b.hi, c.hi)}; }
template <class T> T relu(T a) { if constexpr (std::is_same_v<T, bf16x2> || std::is_same_v<T, f16x2>) return {relu(a.lo), relu(a.hi)}; else return (float)a > 0 ? a : T(0); }
template <class T> T to_dir(double d, int m) { float r = (float)d; if (m == 0 && r > d) r = nextafterf(r, -INFINITY); if (m == 1 && r < d) r = nextafterf(r, INFINITY); if (m == 2 && fabs(r) > fabs(d)) r = nextafterf(r, 0); return r; }
inline float dir(float a, float b, int o, int m) { double x = a, y = b; return to_dir<float>(o == 0 ? x + y : o == 1 ? x - y : o == 2 ? x * y : x / y, m); }
inline float fma_dir(float a, float b, float c, int m) { return to_dir<float>((double)a * b + c, m); }
template <class T> T sat01(T v) { return v > T(0) ? (v < T(1) ? v : T(1)) : T(0); }
template <class T> T idiv(T a, T b) { return b == 0 ? T(~T(0)) : (std::is_signed_v<T> && b == T(-1)) ? T(0 - (std::make_unsigned_t<T>)a) : a / b; }
template <class T> T irem(T a, T b) { return b == 0 ? a : (std::is_signed_v<T> && b == T(-1)) ? T(0) : a % b; }
inline int32_t addsat(int64_t a, int64_t b) { int64_t s = a + b; return s > INT32_MAX ? INT32_MAX : s < INT32_MIN ? INT32_MIN : s; }
template <class T> T abs(T a) { if constexpr (std::is_same_v<T, bf16x2> || std::is_same_v<T, f16x2>) { a.lo.b &= 0x7fff; a.hi.b &= 0x7fff; return a; } else if constexpr (sizeof(T) == 2 && !std::is_integral_v<T>) { a.b &= 0x7fff; return a; } else return a < 0 ? -a : a == 0 ? T(0) : a; }
template <class T> T min(T a, T b) { if constexpr (std::is_same_v<T, bf16x2> || std::is_same_v<T, f16x2>) return {min(a.lo, b.lo), min(a.hi, b.hi)}; else if constexpr (!std::is_integral_v<T>) return a != a ? b : b != b ? a : a < b ? a : b; else return a < b ? a : b; }
template <class T> T max(T a, T b) { if constexpr (std::is_same_v<T, bf16x2> || std::is_same_v<T, f16x2>) return {max(a.lo, b.lo), max(a.hi, b.hi)}; else if constexpr (!std::is_integral_v<T>) return a != a ? b : b != b ? a : a > b ? a : b; else return a > b ? a : b; }
template <class T> T min_nan(T a, T b) { return a != a ? a : b != b ? b : min(a, b); } template <class T> T max_nan(T a, T b) { return a != a ? a : b != b ? b : max(a, b); }
inline uint32_t shf_l(uint32_t lo, uint32_t hi, uint32_t n) { return n == 0 ? hi : n >= 32 ? lo : (hi << n) | (lo >> (32 - n)); }
inline uint32_t shf_r(uint32_t lo, uint32_t hi, uint32_t n) { return n == 0 ? lo : n >= 32 ? hi : (lo >> n) | (hi << (32 - n)); }
inline uint32_t lop3(uint32_t a, uint32_t b, uint32_t c, uint32_t t) { uint32_t r = 0; for (int i = 0; i < 8; i++) if (t >> i & 1) r |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c); return r; }
inline uint32_t prmt(uint32_t a, uint32_t b, uint32_t s) { uint64_t v = a | (uint64_t)b << 32; uint32_t r = 0; for (int i = 0; i < 4; i++) { uint32_t k = s >> (4 * i) & 15, x = v >> (8 * (k & 7)) & 255; if (k & 8) x = x & 128 ? 255 : 0; r |= x << (8 * i); } return r; }
template <class T> T bfe(T a, uint32_t p, uint32_t l) { constexpr int W = sizeof(T) * 8; if (!l) return 0; unsigned __int128 u = std::is_signed_v<T> ? (unsigned __int128)(__int128)a : (unsigned __int128)a; if (p >= W) return std::is_signed_v<T> && a < 0 ? T(-1) : T(0); __int128 v = (__int128)(u >> p); if (l < W) { unsigned __int128 mk = ((unsigned __int128)1 << l) - 1; v &= mk; if (std::is_signed_v<T> && (v >> (l - 1) & 1)) v |= ~(__int128)mk; } return (T)v; }
template <class T> T bfi(T a, T b, uint32_t p, uint32_t l) { if (p >= sizeof(T) * 8 || !l) return b; T mk = l >= sizeof(T) * 8 ? ~T(0) : (T(1) << l) - 1; return (b & ~(mk << p)) | ((a & mk) << p); }
template <class T> uint32_t clz(T a) { return a ? __builtin_clzll(a) - (64 - sizeof(T) * 8) : sizeof(T) * 8; }
template <class T> T brev(T a) { T r = 0; for (unsigned i = 0; i < sizeof(T) * 8; i++) r |= T(a >> i & 1) << (sizeof(T) * 8 - 1 - i); return r; }
template <class T> uint32_t bfind(T a, bool sh) { using U = std::make_unsigned_t<T>; U u = a; if (std::is_signed_v<T> && a < 0) u = ~u; if (!u) return ~0u; uint32_t h = 63 - __builtin_clzll(u); return sh ? sizeof(T) * 8 - 1 - h : h; }
template <class T> bool num(T a, T b) { return a == a && b == b; }
inline double rint_mode(double x, int m) { return m == 0 ? nearbyint(x) : m == 1 ? trunc(x) : m == 2 ? floor(x) : ceil(x); }
template <class T> T f2i(double x, int m) { if (x != x) return 0; x = rint_mode(x, m); constexpr double lo = (double)std::numeric_limits<T>::min(), hi = (double)std::numeric_limits<T>::max(); return x <= lo ? std::numeric_limits<T>::min() : x >= hi ? std::numeric_limits<T>::max() : (T)x; }
template <class D, class S> D cvtf(S s, int m) { if constexpr (std::is_same_v<D, float>) { if (m >= 0) return to_dir<float>((double)s, m); return (float)s; } else return D(s); }
template <class T, class S> T isat(S s) { __int128 v = s, lo = std::numeric_limits<T>::min(), hi = std::numeric_limits<T>::max(); return (T)(v < lo ? lo : v > hi ? hi : v); }
inline uint32_t tf32(float f) { uint32_t u = bc<uint32_t>(f); u += 0x1000; return u & 0xffffe000u; }
enum { op_exp2, op_log2, op_rcp, op_rsqrt, op_sqrt, op_sin, op_cos, op_tanh };
template <class T> T fn1(T x, int o) { if constexpr (std::is_same_v<T, double>) return o == op_rcp ? 1 / x : o == op_rsqrt ? 1 / std::sqrt(x) : o == op_sqrt ? std::sqrt(x) : x;
    else if constexpr (std::is_same_v<T, bf16x2> || std::is_same_v<T, f16x2>) return {fn1(x.lo, o), fn1(x.hi, o)};
    else { float v = x; switch (o) { case op_exp2: return exp2f(v); case op_log2: return log2f(v); case op_rcp: return 1.f / v; case op_rsqrt: return (float)(1.0 / std::sqrt((double)v)); case op_sqrt: return sqrtf(v); case op_sin: return sinf(v); case op_cos: return cosf(v); default: return tanhf(v); } } }
template <class T> bool testp_finite(T x) { return std::isfinite(x); } template <class T> bool testp_infinite(T x) { return std::isinf(x); } template <class T> bool testp_number(T x) { return x == x; } template <class T> bool testp_notanumber(T x) { return x != x; }
inline uint64_t base() { return (uint64_t)simt::dyn_smem(); }
inline bool in_shared(uint64_t p) { return p >= base() && p < base() + smem_size; }
inline uint64_t shared(uint64_t off) { if (off >= smem_size) { char m[160]; snprintf(m, sizeof m, "shared memory address %llu (0x%llx) is outside the %zu bytes of the launch; thread %d", (unsigned long long)off, (unsigned long long)off, smem_size, simt::B->cur->lin); simt::die(m); } return base() + off; }
inline void check(uint64_t a, unsigned n) { if (a & (n - 1)) simt::die("misaligned address"); }
template <class U, class T, class F> T rmw(uint64_t a, F f) { U o = __atomic_load_n((U*)a, __ATOMIC_RELAXED), n; do n = bc<U>(f(bc<T>(o))); while (!__atomic_compare_exchange_n((U*)a, &o, n, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)); return bc<T>(o); }
inline void named_bar_unsupported() { simt::die("named barrier with a thread count is not supported"); }
inline uint32_t shfl(uint32_t v, int j, bool ok, uint32_t m, bool& k) { auto r = simt::warp_exchange(m, v); simt::Quiet q_; k = ok; return ok ? (uint32_t)r[j & 31] : v; }
#define PTX_SEG int l = simt::lane(), seg = (c >> 8) & 31, cl = c & 31, mx = (l & seg) | (cl & ~seg), mn = l & seg; (void)mn; b &= 31;
inline uint32_t shfl_up(uint32_t v, uint32_t b, uint32_t c, uint32_t m, bool& k) { PTX_SEG int j = l - (int)b; return shfl(v, j, j >= mx, m, k); }
inline uint32_t shfl_down(uint32_t v, uint32_t b, uint32_t c, uint32_t m, bool& k) { PTX_SEG int j = l + (int)b; return shfl(v, j, j <= mx, m, k); }
inline uint32_t shfl_bfly(uint32_t v, uint32_t b, uint32_t c, uint32_t m, bool& k) { PTX_SEG int j = l ^ (int)b; return shfl(v, j, j <= mx, m, k); }
inline uint32_t shfl_idx(uint32_t v, uint32_t b, uint32_t c, uint32_t m, bool& k) { PTX_SEG int j = mn | ((int)b & ~seg); return shfl(v, j, j <= mx, m, k); }
inline bool uni(uint32_t b, uint32_t m) { return b == 0 || b == m; }
enum { rx_add, rx_min, rx_max, rx_and, rx_or, rx_xor };
template <class T> T redux(uint32_t m, T v, int o) { auto r = simt::warp_exchange(m, (uint64_t)(uint32_t)v); bool first = true; T a = 0; for (int i = 0; i < 32; i++) if (m >> i & 1) { T x = (T)r[i]; a = first ? x : o == rx_add ? a + x : o == rx_min ? min(a, x) : o == rx_max ? max(a, x) : o == rx_and ? a & x : o == rx_or ? a | x : a ^ x; first = false; } return a; }
inline uint32_t match(uint32_t m, uint64_t v) { auto r = simt::warp_exchange(m, v); uint32_t q = 0; for (int i = 0; i < 32; i++) if ((m >> i & 1) && r[i] == v) q |= 1u << i; return q; }
struct t_bf16 { static float at(uint32_t w, int hi) { return bf2f(hi ? w >> 16 : w); } static constexpr int per = 2; };
struct t_f16 { static float at(uint32_t w, int hi) { return (float)bc<_Float16>((uint16_t)(hi ? w >> 16 : w)); } static constexpr int per = 2; };
struct t_tf32 { static float at(uint32_t w, int) { return bc<float>(w & 0xffffe000u); } static constexpr int per = 1; };
// m16n8kK, row.col: A regs in order (row g | g+8) x (k half), B regs in order of k half
template <int K, class E> void mma(float* d, const uint32_t* a, const uint32_t* b) {
    constexpr int KH = 4 * E::per, H = K / KH; uint32_t A[4][32], B[2][32];     // KH: k values covered by one register across 4 lanes
    for (int i = 0; i < 2 * H; i++) { auto r = simt::warp_exchange(~0u, a[i]); for (int l = 0; l < 32; l++) A[i][l] = (uint32_t)r[l]; }
    for (int i = 0; i < H; i++) { auto r = simt::warp_exchange(~0u, b[i]); for (int l = 0; l < 32; l++) B[i][l] = (uint32_t)r[l]; }
    int g = simt::lane() >> 2, t = simt::lane() & 3;
    for (int i = 0; i < 4; i++) { int col = 2 * t + (i & 1); double s = 0;
        for (int k = 0; k < K; k++) { int h = k / KH, q = k % KH, ln = q / E::per, e = q % E::per; s += (double)E::at(A[2 * h + (i >> 1)][g * 4 + ln], e) * E::at(B[h][col * 4 + ln], e); }
        d[i] = (float)(d[i] + s); }
}
template <int N> void ldmatrix(uint32_t* d, uint64_t addr, bool trans) { auto r = simt::warp_exchange(~0u, addr); uint64_t p[8 * N]; for (int i = 0; i < 8 * N; i++) { p[i] = r[i]; check(p[i], 16); } simt::warp_exchange(~0u, 0); int l = simt::lane();
    for (int m = 0; m < N; m++) { uint16_t x[2]; for (int e = 0; e < 2; e++) { int row = trans ? 2 * (l & 3) + e : l >> 2, col = trans ? l >> 2 : 2 * (l & 3) + e; x[e] = ((uint16_t*)p[8 * m + row])[col]; } d[m] = x[0] | (uint32_t)x[1] << 16; } }
template <int N> void stmatrix(const uint32_t* d, uint64_t addr, bool trans) { auto r = simt::warp_exchange(~0u, addr); uint64_t p[8 * N]; for (int i = 0; i < 8 * N; i++) p[i] = r[i]; int l = simt::lane();
    for (int m = 0; m < N; m++) for (int e = 0; e < 2; e++) { int row = trans ? 2 * (l & 3) + e : l >> 2, col = trans ? l >> 2 : 2 * (l & 3) + e; ((uint16_t*)p[8 * m + row])[col] = d[m] >> (16 * e); } simt::warp_exchange(~0u, 0); }
// wmma: the fragment layout is ours to choose; lane l holds elements l*n .. l*n+n-1 of the row-major matrix
template <int E> void wmma_load(uint32_t* d, uint64_t p, uint32_t ld, bool row, int R, int C) { int n = R * C / 32, l = simt::lane(); for (int i = 0; i < n; i++) { int e = l * n + i, r = e / C, c = e % C; memcpy((char*)d + i * E, (char*)p + E * (row ? (uint64_t)r * ld + c : (uint64_t)c * ld + r), E); } }
template <int E> void wmma_store(const uint32_t* d, uint64_t p, uint32_t ld, bool row, int R, int C) { int n = R * C / 32, l = simt::lane(); for (int i = 0; i < n; i++) { int e = l * n + i, r = e / C, c = e % C; memcpy((char*)p + E * (row ? (uint64_t)r * ld + c : (uint64_t)c * ld + r), (const char*)d + i * E, E); } simt::warp_exchange(~0u, 0); }
template <int M, int N, int K, class T> void wmma_mma(float* d, const uint32_t* a, const uint32_t* b) {
    constexpr int na = M * K / 32, nb = K * N / 32, nc = M * N / 32; float A[M * K], B[K * N];
    for (int i = 0; i < na / 2; i++) { auto r = simt::warp_exchange(~0u, a[i]); for (int l = 0; l < 32; l++) for (int e = 0; e < 2; e++) A[l * na + 2 * i + e] = T::at((uint32_t)r[l], e); }
    for (int i = 0; i < nb / 2; i++) { auto r = simt::warp_exchange(~0u, b[i]); for (int l = 0; l < 32; l++) for (int e = 0; e < 2; e++) B[l * nb + 2 * i + e] = T::at((uint32_t)r[l], e); }
    for (int i = 0; i < nc; i++) { int e = simt::lane() * nc + i, m = e / N, n = e % N; double s = 0; for (int k = 0; k < K; k++) s += (double)A[m * K + k] * B[k * N + n]; d[i] = (float)(d[i] + s); } }
// cp.async: the copy happens at the wait, so that a wait that is missing shows as stale data
struct Copy { void* d; const void* s; uint32_t n, src; int group; };
struct Async { std::vector<Copy> c; int group = 0; };
inline thread_local std::vector<Async> g_async;   // emptied at each launch by the runtime of a real build; here by cp_wait
inline Async& async_of() { size_t i = simt::B->cur->lin; if (g_async.size() <= i) g_async.resize(1024); return g_async[i]; }
inline void cp_async(uint64_t d, uint64_t s, uint32_t n, uint32_t src) { check(d, n); check(s, n); memset((void*)d, 0xff, n);   // the write may land at any time from now on
    simt::Quiet q_; auto& q = async_of(); q.c.push_back({(void*)d, (void*)s, n, src, q.group}); }
inline void cp_commit() { simt::Quiet q_; async_of().group++; }
inline void cp_wait(uint32_t left) { Copy todo[64]; int nt = 0; { simt::Quiet q_; auto& q = async_of(); size_t k = 0; for (auto& c : q.c) if (c.group < q.group - (int)left && nt < 64) todo[nt++] = c; else q.c[k++] = c; q.c.resize(k); }
    for (int i = 0; i < nt; i++) { Copy& c = todo[i]; memcpy(c.d, c.s, std::min(c.n, c.src)); if (c.src < c.n) memset((char*)c.d + c.src, 0, c.n - c.src); } }
using lockstep::ptx::Kernel; using lockstep::ptx::Variable;
inline std::map<std::string, Kernel>& table() { static std::map<std::string, Kernel> t; return t; }
inline std::map<std::string, Variable>& vars() { static std::map<std::string, Variable> t; return t; }
struct Var { Var(const char* n, void* p, size_t z) { vars()[n] = {p, z}; } };
struct Reg { Reg(const char* n, void (*f)(const uint8_t*), size_t p, size_t s, std::vector<size_t> o, std::vector<size_t> z) { table()[n] = Kernel{n, p, o, z, s, 0, 0, f}; } };
} // namespace ptx
static inline void v_vprintf(uint8_t*, uint8_t* a, uint8_t* b) { const char* f; const uint8_t* v; memcpy(&f, a, 8); memcpy(&v, b, 8); size_t o = 0;   // printf from device code
    for (; f && *f; f++) { if (*f != '%' || f[1] == '%') { putchar(*f); f += *f == '%'; continue; } std::string s = "%"; bool ll = false; while (*++f && !strchr("diouxXeEfgGaAcsp", *f)) { s += *f; ll |= *f == 'l'; } s += *f; int sz = strchr("eEfgGaAsp", *f) || ll ? 8 : 4; o = (o + sz - 1) / sz * sz;
        if (strchr("eEfgGaA", *f)) { double d; memcpy(&d, v + o, 8); printf(s.c_str(), d); } else if (sz == 8) { long long x; memcpy(&x, v + o, 8); printf(s.c_str(), x); } else { int x; memcpy(&x, v + o, 4); printf(s.c_str(), x); } o += sz; } }
[[noreturn]] static inline void v___assertfail(uint8_t* m, uint8_t*, uint8_t*, uint8_t*, uint8_t*) { const char* s; memcpy(&s, m, 8); throw std::runtime_error(std::string("device assert: ") + s); }
