// What a transform costs for each element that a model sees: one thread, samples in memory.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "data/conversion.h"
#include "lockstep/core/clock.h"

namespace lockstep::data {
namespace {

struct Case {
  const char* name;
  DType dtype;
  Shape sample;
  Transform transform;
  int channels = 0;  // that are normalised
};

std::vector<Case> cases() {
  const Transform cut{.crop = {48, 48, 48}, .crop_random = true};
  const Transform all{.crop = {48, 48, 48}, .crop_random = true, .flip = {0, 1, 2}, .log1p = true};
  const Shape volume{64, 64, 64, 4};
  return {
      {"f32 volume as stored", DType::kF32, volume, {}, 1},
      {"f32 volume, channels", DType::kF32, volume, {}, 4},
      {"f32 volume, random crop", DType::kF32, volume, cut, 1},
      {"i16 volume, log1p", DType::kI16, volume, {.log1p = true}, 1},
      {"i16 volume, crop, flips, log1p, channels", DType::kI16, volume, all, 4},
      {"u8 image, crop, flip, channels",
       DType::kU8,
       {256, 256, 3},
       {.crop = {224, 224}, .crop_random = true, .flip = {1}},
       3},
      {"f32 image, channels first to last, flips",
       DType::kF32,
       {3, 512, 512},
       {.axes = {1, 2, 0}, .flip = {0, 1}},
       3},
      {"f32 map, 16 channels first to last", DType::kF32, {16, 768, 1152}, {.axes = {1, 2, 0}}, 16},
      {"u8 mask, one hot of 4", DType::kU8, {512, 512}, {.one_hot = 4}}};
}

void measure(const Case& c) {
  Field field;
  field.name = c.name;
  field.dtype = c.dtype;
  field.sample = c.sample;
  field.transform = c.transform;
  const std::vector<float> numbers(static_cast<std::size_t>(c.channels), 0.5F);
  const Conversion conversion(field, {c.transform.log1p, false, 1, 0, numbers, numbers});
  // Small numbers of any type: classes below 4, floats near 1, counts below 4.
  const std::size_t width = size_of(c.dtype);
  std::vector<std::byte> sample(field.sample_bytes());
  for (std::size_t i = 0; i < sample.size(); ++i)
    sample[i] = static_cast<std::byte>(width == 4 ? (i % 4 == 3 ? 0x3F : i % 251)
                                                  : (i % width == 0 ? i / width % 4 : 0));
  std::vector<float> out(static_cast<std::size_t>(conversion.elements()));
  double best = 1e9;
  for (int round = 0; round < 20; ++round) {
    const double start = seconds_now();
    conversion.to_floats(sample.data(), 1, {1, 0, 0, round}, out.data());
    best = std::min(best, seconds_now() - start);
  }
  const auto elements = static_cast<double>(out.size());
  fmt::print("{:<44} {:>9} elements  {:6.3f} ns each  {:6.2f} GB/s written\n", c.name, out.size(),
             best * 1e9 / elements, elements * sizeof(float) / best * 1e-9);
}

}  // namespace
}  // namespace lockstep::data

int main() {
  for (const auto& c : lockstep::data::cases()) lockstep::data::measure(c);
}
