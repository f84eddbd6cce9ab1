// Convolutions: images in two dimensions, volumes in three.
#include "bench/rate_grid.h"

namespace lockstep::bench {
namespace {

constexpr double kMostFlops = 0.7e9;

double real(std::int64_t n) { return static_cast<double>(n); }

// Cubes of `side`, as many as give `rows` positions; kernels of `width` in each dimension.
struct Form {
  std::int64_t dimensions, rows, side, in, out, width;
};

std::int64_t power(std::int64_t base, std::int64_t exponent) {
  std::int64_t p = 1;
  for (std::int64_t i = 0; i < exponent; ++i) p *= base;
  return p;
}

ops::Convolution convolution_of(const Form& f, ops::Precision precision) {
  const auto dimensions = static_cast<std::size_t>(f.dimensions);
  ops::Convolution c;
  std::vector<std::int64_t> shape(dimensions + 2, f.side);
  shape.front() = f.rows / power(f.side, f.dimensions);
  shape.back() = f.in;
  c.input = Shape(std::span<const std::int64_t>(shape));
  c.out_channels = f.out;
  c.kernel.assign(dimensions, f.width);
  c.stride.assign(dimensions, 1);
  c.padding.assign(dimensions, f.width / 2);
  c.dilation.assign(dimensions, 1);
  // Small images go through a norm, with a bias and relu of its own; others mostly do not.
  c.bias = f.dimensions == 3 || f.width == 5;
  if (f.width == 5) c.activation = ops::Activation::kRelu;
  c.precision = precision;
  return c;
}

void add(std::vector<GridPoint>& points, const Form& f, ops::Precision precision,
         bool need_d_input) {
  const std::int64_t taps = power(f.width, f.dimensions);
  if (f.rows % power(f.side, f.dimensions) != 0) return;
  if (2 * real(f.rows) * real(f.in * f.out * taps) > kMostFlops) return;
  ops::Convolution c = convolution_of(f, precision);
  c.need_d_input = need_d_input;
  points.push_back({need_d_input ? "convolution" : "convolution_input",
                    precision,
                    {real(f.rows), real(f.side), real(f.in), real(f.out), real(taps)},
                    [c, f, taps](Device& device) {
                      return op_trial(device, ops::make(device, c),
                                      {.inputs = {f.rows * f.in},
                                       .output = f.rows * f.out,
                                       .parameters = {f.in * f.out * taps, f.out},
                                       .statistics = {}},
                                      true, c.need_d_input);
                    }});
}

}  // namespace

std::vector<GridPoint> convolution_points(ops::Precision precision) {
  std::vector<GridPoint> points;
  // Early layers are wide in space and narrow in channels, late ones the other way round.
  struct Stage {
    std::int64_t side, least, most;  // channels
  };
  constexpr Stage kStages[] = {{4, 64, 256}, {8, 16, 256}, {16, 16, 128}, {32, 8, 64}};
  for (const Stage& stage : kStages) {
    for (const std::int64_t rows : {64, 1024, 4096}) {
      for (const std::int64_t in : {8, 16, 32, 64, 128, 256}) {
        for (const std::int64_t out : {16, 32, 64, 128, 256}) {
          if (in < stage.least || in > stage.most || out < stage.least || out > stage.most)
            continue;
          // Layers keep or double their channels.
          if (out != in && out != 2 * in) continue;
          add(points, {2, rows, stage.side, in, out, 3}, precision, true);
          if (rows != 4096) add(points, {2, rows, stage.side, in, out, 1}, precision, true);
        }
      }
    }
    for (const std::int64_t channels : {32, 64, 128, 256}) {
      for (const std::int64_t rows : {64, 512, 4096, 32768})
        add(points, {3, rows, stage.side, channels, 2 * channels, 3}, precision, true);
    }
  }
  // 5 x 5, as in the first networks.
  for (const std::int64_t side : {8, 16}) {
    for (const std::int64_t in : {6, 16, 32}) {
      for (const std::int64_t rows : {256, 2048, 16384})
        add(points, {2, rows, side, in, in < 16 ? 16 : 2 * in, 5}, precision, true);
    }
  }
  for (const std::int64_t rows : {1024, 16384, 131072}) {
    for (const std::int64_t side : {16, 32}) {
      for (const std::int64_t in : {1, 3}) {
        for (const std::int64_t out : {6, 16, 64}) {
          add(points, {2, rows, side, in, out, 3}, precision, false);
          add(points, {2, rows, side, in, out, 5}, precision, false);
        }
      }
    }
    for (const std::int64_t in : {1, 4}) {
      for (const std::int64_t out : {16, 32})
        add(points, {3, 32768, rows == 1024 ? 16 : 32, in, out, 3}, precision, false);
    }
  }
  return points;
}

}  // namespace lockstep::bench
