#include "ceilings.h"

#include <algorithm>
#include <vector>

#include "device/cuda/cuda_call.h"
#include "device/cuda/cuda_device.h"
#include "memory.h"
#include "ops/cuda/matmul.h"

namespace lockstep::bench {
namespace {

double product_rate(Device& device, Timer& timer, std::int64_t n, ops::Precision precision) {
  const ops::Matmul product(device, {ops::Product::Form::kForward, n, n, n, precision});
  const std::size_t element = precision == ops::Precision::kBf16 ? 2 : 4;
  const Buffer a = device.allocate(n * n * element, "a factor");
  const Buffer b = device.allocate(n * n * element, "a factor");
  const Buffer c = device.allocate(n * n * sizeof(float), "a product");
  const Buffer workspace = device.allocate(product.workspace_bytes(), "workspace");
  // Products of zeros run at higher clocks than those of numbers.
  for (const Buffer* factor : {&a, &b}) {
    const auto stream = device.make_stream();
    const auto fill_with = [&](const auto& numbers) {
      device.copy(factor->data(), numbers.data(), factor->bytes(), *stream);
      stream->synchronize();
    };
    element == 4 ? fill_with(random_array<float>(device, n * n, 1))
                 : fill_with(random_array<__nv_bfloat16>(device, n * n, 1));
  }
  ops::Matmul::Operands operands;
  operands.a = a.data();
  operands.b = b.data();
  operands.c = c.as<float>();
  const double seconds = timer.median_seconds(
      [&](cudaStream_t) { product.run(operands, workspace.data(), &timer.lockstep_stream()); }, 5);
  return 2.0 * n * n * n / seconds;
}

}  // namespace

Timer::Timer(Device& device) : device_(device), stream_(device.make_stream()) {
  int l2 = 0;
  cuda::check(cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize,
                                     static_cast<const cuda::CudaDevice&>(device).index()),
              "cudaDeviceGetAttribute");
  flush_ = device.allocate(2 * static_cast<std::size_t>(l2) + 1, "flushing the L2 cache");
  cuda::check(cudaEventCreate(&begin_), "cudaEventCreate");
  cuda::check(cudaEventCreate(&end_), "cudaEventCreate");
}

Timer::~Timer() {
  cudaEventDestroy(begin_);
  cudaEventDestroy(end_);
}

cudaStream_t Timer::stream() const { return cuda::native(stream_.get()); }

double Timer::median_seconds(const std::function<void(cudaStream_t)>& run, int repeats) {
  run(stream());  // libraries load their kernels
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    device_.fill(flush_.data(), i, flush_.bytes(), *stream_);
    cuda::check(cudaEventRecord(begin_, stream()), "cudaEventRecord");
    run(stream());
    cuda::check(cudaEventRecord(end_, stream()), "cudaEventRecord");
    stream_->synchronize();
    float milliseconds = 0;
    cuda::check(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
    seconds.push_back(milliseconds * 1e-3);
  }
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return std::max(seconds[repeats / 2], 1e-9);
}

Ceilings measure_ceilings(Device& device, bool tiny) {
  Timer timer(device);
  const std::size_t bytes = tiny ? 4096 : std::size_t{1} << 30;
  const Buffer from = device.allocate(bytes, "a copy"), to = device.allocate(bytes, "a copy");
  Ceilings c;
  c.bandwidth = 2.0 * static_cast<double>(bytes) /
                timer.median_seconds(
                    [&](cudaStream_t) {
                      device.copy(to.data(), from.data(), bytes, timer.lockstep_stream());
                    },
                    tiny ? 1 : 11);
  const std::int64_t n = tiny ? 16 : 8192;
  c.fp32 = product_rate(device, timer, n, ops::Precision::kFp32);
  c.bf16 = product_rate(device, timer, n, ops::Precision::kBf16);
  return c;
}

}  // namespace lockstep::bench
