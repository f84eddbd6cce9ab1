// Convolutions: see op_bench.h.
#include "op_bench.h"

namespace lockstep::ops {
namespace {

void add_convolution(const Shape& input, std::int64_t out, std::int64_t kernel,
                     std::int64_t stride) {
  const int rank = input.rank() - 2;
  Convolution c{input,
                out,
                std::vector(rank, kernel),
                std::vector(rank, stride),
                std::vector(rank, kernel / 2),
                std::vector<std::int64_t>(rank, 1)};
  c.bias = false;
  c.need_d_input = input[-1] > 4;
  std::int64_t weights = out * input[-1];
  for (int i = 0; i < rank; ++i) weights *= kernel;
  add(fmt::format("conv{}d {}-{} at {} kernel {} stride {} batch {}", rank, input[-1], out,
                  input[1], kernel, stride, input[0]),
      [=] {
        return std::make_unique<Bench>(make(cpu_device(), c), input.elements(),
                                       output_shape(c).elements(), std::vector{weights});
      });
}

void add_all() {
  for (const std::int64_t batch : {128, 16}) {  // resnet20 (He et al. 2015)
    add_convolution({batch, 32, 32, 3}, 16, 3, 1);
    add_convolution({batch, 32, 32, 16}, 16, 3, 1);
    add_convolution({batch, 32, 32, 16}, 32, 3, 2);
    add_convolution({batch, 16, 16, 32}, 32, 3, 1);
    add_convolution({batch, 16, 16, 32}, 64, 3, 2);
    add_convolution({batch, 8, 8, 64}, 64, 3, 1);
  }
  // CosmoFlow (Mathuriya et al. 2018) on 64^3 voxels
  add_convolution({2, 64, 64, 64, 4}, 32, 3, 1);
  add_convolution({2, 32, 32, 32, 32}, 64, 3, 1);
  add_convolution({2, 16, 16, 16, 64}, 128, 3, 1);
  add_convolution({2, 8, 8, 8, 128}, 256, 3, 1);
  add_convolution({2, 4, 4, 4, 256}, 512, 3, 1);
}

}  // namespace
}  // namespace lockstep::ops

int main(int argc, char** argv) {
  return lockstep::ops::run_benchmarks(argc, argv, lockstep::ops::add_all);
}
