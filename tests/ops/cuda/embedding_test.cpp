// Embedding on a cuda device against the cpu device: the same bits.
#include "ops/cuda/on_device.h"
#include "ops/numbers.h"

namespace lockstep::ops {
namespace {

OpCase case_of(const Embedding& d) {
  OpCase c;
  std::vector<std::int32_t> ids;
  for (const float u : uniform(d.rows, 1, 0, 0.999)) {
    ids.push_back(static_cast<std::int32_t>(u * u * static_cast<float>(d.vocabulary)));
  }
  c.inputs = {tokens(ids)};
  c.parameters = {uniform(d.vocabulary * d.width, 2)};
  c.outputs = d.rows * d.width;
  c.d_output = uniform(d.rows * d.width, 3);
  c.wanted = {false};
  return c;
}

TEST(CudaEmbedding, agrees_with_the_cpu) {
  for (const std::int64_t rows :
       shapes_to_try<std::int64_t>({1, 7, 31, 32, 33, 1000, 1009, 2100}, {1009})) {
    for (const std::int64_t vocabulary : shapes_to_try<std::int64_t>({1, 7, 256, 1009}, {256})) {
      for (const std::int64_t width : shapes_to_try<std::int64_t>({1, 12, 33}, {12})) {
        const Embedding d{rows, vocabulary, width};
        const std::string what = std::to_string(rows) + " of " + std::to_string(vocabulary) +
                                 " x " + std::to_string(width);
        OpCase c = case_of(d);
        expect_cuda_as_cpu(d, c, 0, what);
        c.carried = uniform(vocabulary * width, 4);
        expect_cuda_as_cpu(d, c, 0, what + " carried");
      }
    }
  }
}

TEST(CudaEmbedding, can_be_captured_and_repeated) {
  const Embedding d{300, 50, 20};
  OpCase c = case_of(d);
  c.captured = true;
  expect_cuda_as_cpu(d, c, 0, "captured");
}

}  // namespace
}  // namespace lockstep::ops
