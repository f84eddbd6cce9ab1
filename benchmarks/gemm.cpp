// Matrix products of linear layers on one core, ours beside oneDNN's matmul, in GFLOP/s and percent
// of the measured fp32 FMA peak (bf16 can reach 200 %); and whole linear layers, see op_bench.h.
// oneDNN gets its weights in the layout that it asks for.
#include <algorithm>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "op_bench.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/onednn.h"

namespace lockstep::ops {
namespace {

struct Case {
  Gemm::Form form;
  std::int64_t rows, in, out;
  Precision precision;

  // c [m, n] = a [m, k] b [k, n]
  std::int64_t m() const { return form == Gemm::Form::kWeights ? out : rows; }
  std::int64_t n() const { return form == Gemm::Form::kForward ? out : in; }
  std::int64_t k() const { return rows * in * out / m() / n(); }
};

class Floats {
 public:
  explicit Floats(std::int64_t n)
      : buffer_(cpu_device().allocate(n * sizeof(float) + 64, "benchmark")) {
    for (std::int64_t i = 0; i < n; ++i) {
      data()[i] = static_cast<float>(i % 13) * 0.1f - 0.6f;
    }
  }
  float* data() const { return static_cast<float*>(buffer_.data()); }

 private:
  Buffer buffer_;
};

void report(benchmark::State& state, const Case& c, double seconds) {
  const double rate = 2.0 * static_cast<double>(c.rows * c.in * c.out) *
                      static_cast<double>(state.iterations()) / seconds;
  state.counters["GFLOP/s"] = rate * 1e-9;
  state.counters["% of peak"] = rate / peak() * 100;
}

void time_ours(benchmark::State& state, const Case& c) {
  const Gemm gemm(c.form, c.rows, c.in, c.out, c.precision);
  const Floats a(c.m() * c.k()), b(c.k() * c.n()), to(c.m() * c.n());
  const Floats packed(static_cast<std::int64_t>(gemm.packed_bytes() / sizeof(float)));
  const Floats workspace(static_cast<std::int64_t>(gemm.workspace_bytes() / sizeof(float)));
  gemm.pack(b.data(), packed.data());
  const void* const factor = gemm.packed_bytes() > 0 ? packed.data() : b.data();
  const double start = cpu_seconds();
  for ([[maybe_unused]] auto _ : state) {
    gemm.run(a.data(), factor, to.data(), false, {}, workspace.data());
  }
  report(state, c, cpu_seconds() - start);
}

// bf16: both factors are rounded beforehand, which ours does in each call.
void time_onednn(benchmark::State& state, const Case& c) {
  use_one_thread();
  using dnnl::memory;
  const auto type = c.precision == Precision::kBf16 ? memory::data_type::bf16
                                                    : memory::data_type::f32;
  const bool turned = c.form == Gemm::Form::kWeights, forward = c.form == Gemm::Form::kForward;
  const memory::desc from({c.m(), c.k()}, type,
                          turned ? memory::format_tag::ba : memory::format_tag::ab);
  const memory::desc flat({c.k(), c.n()}, type,
                          forward ? memory::format_tag::ba : memory::format_tag::ab);
  const memory::desc any({c.k(), c.n()}, type, memory::format_tag::any);
  const memory::desc to({c.m(), c.n()}, memory::data_type::f32, memory::format_tag::ab);
  const dnnl::matmul::primitive_desc description({from, turned ? flat : any, to},
                                                 strict_attributes(), onednn_engine());
  const auto size = [](const memory::desc& d) {
    return static_cast<std::int64_t>(d.get_size() / sizeof(float) + 1);
  };
  const auto weights = description.weights_desc(), scratch = description.scratchpad_desc();
  const Floats a(size(from)), b(size(weights)), y(size(to)), s(size(scratch));
  if (c.precision == Precision::kBf16) {  // each half of these floats is a number of common size
    std::fill_n(a.data(), size(from), 0x1.9c7b9cp-4f);
    std::fill_n(b.data(), size(weights), 0x1.9c7b9cp-4f);
  }
  const auto& engine = onednn_engine();
  dnnl::stream stream(engine);
  const dnnl::matmul matmul(description);
  const std::unordered_map<int, memory> arguments = {
      {DNNL_ARG_SRC, {from, engine, a.data()}},
      {DNNL_ARG_WEIGHTS, {weights, engine, b.data()}},
      {DNNL_ARG_DST, {to, engine, y.data()}},
      {DNNL_ARG_SCRATCHPAD, {scratch, engine, s.data()}}};
  const double start = cpu_seconds();
  for ([[maybe_unused]] auto _ : state) matmul.execute(stream, arguments);
  report(state, c, cpu_seconds() - start);
}

void add_products(std::int64_t rows, std::int64_t in, std::int64_t out) {
  constexpr std::string_view kForms[] = {"forward", "data", "weights"};
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    for (const Gemm::Form form : {Gemm::Form::kForward, Gemm::Form::kData, Gemm::Form::kWeights}) {
      const Case c{form, rows, in, out, precision};
      const auto add_one = [&](std::string_view whose, auto time) {
        const std::string name =
            fmt::format("product {}-{} rows {}/{}/{}/{}", in, out, rows, name_of(precision),
                        kForms[static_cast<int>(form)], whose);
        benchmark::RegisterBenchmark(name.c_str(), time, c)
            ->Unit(benchmark::kMicrosecond)
            ->MinTime(0.1);
      };
      add_one("ours", time_ours);
      add_one("onednn", time_onednn);
    }
  }
}

void add_linear(std::int64_t rows, std::int64_t in, std::int64_t out) {
  add(fmt::format("linear {}-{} batch {}", in, out, rows), [=] {
    return std::make_unique<Bench>(
        make(cpu_device(), Linear{rows, in, out, true, Activation::kRelu, in != 784}), rows * in,
        rows * out, std::vector{in * out, out});
  });
}

void add_all() {
  for (const std::int64_t rows : {2048, 256, 128, 16}) {  // of a GPT
    add_products(rows, 384, 1152);
    add_products(rows, 384, 384);
    add_products(rows, 384, 1536);
    add_products(rows, 1536, 384);
    add_products(rows, 384, 4096);
    add_products(rows, 768, 2304);
    add_products(rows, 768, 3072);
    add_products(rows, 3072, 768);
  }
  add_products(256, 768, 50257);
  for (const std::int64_t batch : {128, 16}) {  // of an MLP
    add_products(batch, 784, 1024);
    add_products(batch, 1024, 1024);
    add_products(batch, 1024, 10);
    add_linear(batch, 784, 1024);
    add_linear(batch, 1024, 1024);
    add_linear(batch, 1024, 10);
  }
}

}  // namespace
}  // namespace lockstep::ops

int main(int argc, char** argv) {
  return lockstep::ops::run_benchmarks(argc, argv, lockstep::ops::add_all);
}
