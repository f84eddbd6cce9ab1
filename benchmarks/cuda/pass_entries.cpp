// Kernels that pass once over their data, against their references; those of copies that have
// none: that they give numbers.
#include <algorithm>
#include <cmath>

#include "entry.h"
#include "kernels/attention.h"
#include "kernels/batch_norm.h"
#include "kernels/dropout.h"
#include "kernels/elementwise.h"
#include "kernels/embedding.h"
#include "kernels/fold.h"
#include "kernels/pool.h"
#include "kernels/rotary.h"
#include "kernels/row_norm.h"
#include "kernels/swiglu.h"
#include "kernels/weight_order.h"
#include "memory.h"

namespace lockstep::bench {
namespace {

using Run = std::function<void(cudaStream_t)>;

// make: allocates, and gives the call, its result, and the call of the reference, to the same
// place.
struct Made {
  Run run;
  Array<float> result;
  Run reference = nullptr;
};
std::vector<float> result_of(const Made& made, const Run& run, cudaStream_t stream) {
  run(stream);
  cudaStreamSynchronize(stream);
  return made.result.download();
}
Entry entry(const char* name, const std::string& shape, double bytes, double flops,
            std::function<Made(Device&)> make) {
  Entry e{name, shape, bytes, flops};
  e.build = [make](Device& device) {
    const Made made = make(device);
    Running r;
    r.run = made.run;
    r.error = [made](cudaStream_t stream) {
      const auto got = result_of(made, made.run, stream);
      if (made.reference) return deviation(got, result_of(made, made.reference, stream));
      return std::ranges::all_of(got, [](float x) { return std::isfinite(x); }) ? 0.0 : NAN;
    };
    return r;
  };
  return e;
}

Entry rms_norm(std::int64_t rows, std::int64_t channels, const std::string& shape) {
  const double n = static_cast<double>(rows * channels);
  return entry("RMS norm forward", shape, 8 * n, 5 * n, [=](Device& device) {
    const auto x = random_array(device, rows * channels, 1),
               gain = random_array(device, channels, 2);
    const Array<float> y(device, rows * channels), saved(device, rows);
    const kernels::RowNorm<float> a{.rows = rows,
                                    .channels = channels,
                                    .x = x.data(),
                                    .gain = gain.data(),
                                    .y = y.data(),
                                    .saved = saved.data()};
    return Made{[a, x, gain, y, saved](cudaStream_t s) { kernels::rms_norm(a, s); }, y,
                [a](cudaStream_t s) { kernels::rms_norm_reference(a, s); }};
  });
}

Entry batch_norm(std::int64_t rows, std::int64_t channels, const std::string& shape) {
  const double n = static_cast<double>(rows * channels);
  return entry("batch norm forward", shape, 12 * n, 9 * n, [=](Device& device) {
    const auto x = random_array(device, rows * channels, 1),
               gain = random_array(device, channels, 2);
    const Array<float> y(device, rows * channels), constants(device, 4 * channels + 64);
    const Array<char> workspace(
        device, static_cast<std::int64_t>(kernels::batch_norm_workspace_bytes(rows, channels)) + 1);
    float *mean = constants.data(), *rest = mean + channels, *rstd = rest + channels;
    const kernels::BatchNormStatistics statistics{.rows = rows,
                                                  .channels = channels,
                                                  .x = x.data(),
                                                  .mean = mean,
                                                  .rest = rest,
                                                  .rstd = rstd,
                                                  .workspace = workspace.data()};
    const kernels::BatchNormForward forward{
        .rows = rows,
        .channels = channels,
        .x = x.data(),
        .y = y.data(),
        .relu = true,
        .scale = {
            .mean = mean, .rest = rest, .rstd = rstd, .gain = gain.data(), .bias = gain.data()}};
    return Made{[x, gain, constants, workspace, y, statistics, forward](cudaStream_t s) {
                  kernels::batch_norm_statistics(statistics, s);
                  kernels::batch_norm_forward(forward, s);
                },
                y,
                [statistics, forward](cudaStream_t s) {
                  kernels::batch_norm_statistics_reference(statistics, s);
                  kernels::batch_norm_forward_reference(forward, s);
                }};
  });
}

Entry swiglu(std::int64_t rows, std::int64_t width, const std::string& shape) {
  const double n = static_cast<double>(rows * width);
  return entry("SwiGLU forward", shape, 12 * n, 26 * n, [=](Device& device) {
    const auto x = random_array(device, 2 * rows * width, 1);
    const Array<float> y(device, rows * width);
    return Made{
        [=](cudaStream_t s) { kernels::swiglu(y.data(), x.data(), rows, width, s); }, y,
        [=](cudaStream_t s) { kernels::swiglu_reference(y.data(), x.data(), rows, width, s); }};
  });
}

Entry dropout(std::int64_t n, const std::string& shape) {
  return entry("dropout", shape, 8.0 * n, 0, [=](Device& device) {
    const auto x = random_array(device, n, 1);
    const Array<float> y(device, n);
    const Array<RandomKey> key(device, 1);
    key.upload({RandomKey{.seed = 1}});
    return Made{[=](cudaStream_t s) {
                  kernels::dropout(y.data(), x.data(), n, {key.data(), 3, 0.1f}, s);
                },
                y,
                [=](cudaStream_t s) {
                  kernels::dropout_reference(y.data(), x.data(), n, {key.data(), 3, 0.1f}, s);
                }};
  });
}

Entry split_heads(const kernels::HeadsShape& shape, const std::string& text) {
  const std::int64_t tokens = shape.samples * shape.tokens;
  const std::int64_t n = tokens * (shape.heads + 2 * shape.kv_heads) * shape.width;
  return entry("split heads, fp32", text, 8.0 * n, 0, [=](Device& device) {
    const auto qkv = random_array(device, n, 1);
    const std::int64_t of_q = tokens * shape.heads * shape.width;
    const std::int64_t of_k = tokens * shape.kv_heads * shape.width;
    const Array<float> q(device, of_q), k(device, of_k), v(device, of_k);
    return Made{[=](cudaStream_t s) {
                  kernels::split_heads(shape, qkv.data(), q.data(), k.data(), v.data(), s);
                },
                q,
                [=](cudaStream_t s) {
                  kernels::split_heads_reference(shape, qkv.data(), q.data(), k.data(), v.data(),
                                                 s);
                }};
  });
}

Entry embedding(const kernels::EmbeddingShape& shape, const std::string& text) {
  const double n = static_cast<double>(shape.rows * shape.width);
  return entry("embedding forward", text, 8 * n, 0, [=](Device& device) {
    const auto table = random_array(device, shape.vocabulary * shape.width, 1);
    const Array<std::int32_t> ids(device, shape.rows);  // zeros
    const Array<float> y(device, shape.rows * shape.width);
    return Made{
        [=](cudaStream_t s) { kernels::embedding(shape, ids.data(), table.data(), y.data(), s); },
        y};
  });
}

Entry convert(std::int64_t n, const std::string& shape) {
  return entry("fp32 to bf16", shape, 6.0 * n, 0, [=](Device& device) {
    const auto x = random_array(device, n, 1);
    const Array<__nv_bfloat16> y(device, n);
    return Made{[=](cudaStream_t s) { kernels::convert(y.data(), x.data(), n, s); }, x};
  });
}

Entry transpose(std::int64_t n, std::int64_t rows, std::int64_t columns, const std::string& shape) {
  const std::int64_t all = n * rows * columns;
  return entry("weights, channels last", shape, 8.0 * all, 0, [=](Device& device) {
    const auto x = random_array(device, all, 1);
    const Array<float> y(device, all);
    return Made{
        [=](cudaStream_t s) { kernels::transpose_each(y.data(), x.data(), n, rows, columns, s); },
        y,
        [=](cudaStream_t s) {
          kernels::transpose_each_reference(y.data(), x.data(), n, rows, columns, s);
        }};
  });
}

// Two lanes' leaves to their sum, all on this device.
Entry fold(std::int64_t n, const std::string& shape) {
  return entry("fold of two", shape, 12.0 * n, 3.0 * n, [=](Device& device) {
    const auto a = random_array(device, n, 1), b = random_array(device, n, 2);
    const Array<float> sum(device, n);
    std::vector<kernels::FoldBlock> list;
    for (std::int64_t at = 0; at < n; at += 4096)
      list.push_back({at, std::min<std::int64_t>(4096, n - at)});
    const auto count = static_cast<int>(list.size());
    const Array<kernels::FoldBlock> blocks(device, count);
    blocks.upload(list);
    const Array<double> squares(device, count);
    kernels::FoldTree tree{};
    tree.sources[0] = a.data(), tree.sources[1] = b.data(), tree.outs[0] = sum.data();
    tree.merges[1] = 1, tree.source_count = 2, tree.out_count = 1;
    return Made{[a, b, blocks, squares, tree, count](cudaStream_t s) {
                  kernels::fold(tree, blocks.data(), count, squares.data(), s);
                },
                sum,
                [blocks, squares, tree, count](cudaStream_t s) {
                  kernels::fold_reference(tree, blocks.data(), count, squares.data(), s);
                }};
  });
}

Entry average_pool(const kernels::PoolShape& shape, const std::string& text) {
  const std::int64_t in = std::int64_t{shape.samples} * shape.in[2] * shape.channels;
  const std::int64_t out = std::int64_t{shape.samples} * shape.channels;
  return entry("global average pool", text, 4.0 * (in + out), in, [=](Device& device) {
    const auto x = random_array(device, in, 1);
    const Array<float> y(device, out);
    return Made{
        [=](cudaStream_t s) { kernels::average_pool(shape, x.data(), y.data(), s); }, y,
        [=](cudaStream_t s) { kernels::average_pool_reference(shape, x.data(), y.data(), s); }};
  });
}

}  // namespace

std::vector<Entry> pass_entries(bool tiny) {
  const std::int64_t rows = tiny ? 7 : 8192, width = tiny ? 32 : 768;
  const std::string plain = std::to_string(rows) + " x " + std::to_string(width);
  const std::int64_t pixels = tiny ? 64 : 1024 * 32 * 32;
  const kernels::HeadsShape heads{.samples = tiny ? 1 : 8,
                                  .tokens = tiny ? 4 : 1024,
                                  .heads = tiny ? 1 : 12,
                                  .kv_heads = tiny ? 1 : 12,
                                  .width = 64};
  kernels::PoolShape pool{.samples = tiny ? 2 : 1024, .channels = 64};
  pool.in[2] = pool.kernel[2] = tiny ? 4 : 64;
  const std::int64_t parameters = tiny ? 5000 : 124439808;
  return {rms_norm(rows, width, plain),
          batch_norm(pixels, 16, std::to_string(pixels) + " x 16"),
          swiglu(rows, 4 * width, std::to_string(rows) + " x " + std::to_string(4 * width)),
          dropout(rows * width, plain),
          split_heads(heads, "8 x 1024, 12 heads of 64"),
          embedding({rows, tiny ? 9 : 50257, width}, plain),
          convert(rows * width, plain),
          transpose(64, 64, tiny ? 3 : 27, "64 x 64 x 27"),
          fold(parameters, std::to_string(parameters) + " elements"),
          average_pool(pool, "1024 x 64 x 64")};
}

}  // namespace lockstep::bench
