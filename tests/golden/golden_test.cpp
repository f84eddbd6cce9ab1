// Each preset for images and volumes against PyTorch: 20 steps of AdamW, lanes 1 and 4. The files are made by
// make_golden.py.
#include <gtest/gtest.h>

#include "golden.h"

namespace lockstep::golden {
namespace {

void fill_input(nn::Program& program, std::uint64_t step, std::int64_t first) {
  const std::int64_t values = program.options().sample.elements();
  for (std::int64_t i = 0; i < program.options().microbatch * values; ++i)
    program.input(0)[i] =
        static_cast<float>(uniform(step, static_cast<std::uint64_t>(first * values + i)));
}

class Images : public ::testing::TestWithParam<const char*> {};

TEST_P(Images, losses_are_as_near_to_float64_as_pytorch) {
  const auto golden = read(GetParam());
  const auto extents = golden["sample"].get<std::vector<std::int64_t>>();
  nn::ProgramOptions options;
  options.sample = Shape(std::span<const std::int64_t>(extents));
  options.outputs = 10;
  nn::PresetOptions preset;
  preset.preset = GetParam();
  preset.hidden = {64, 32};
  preset.activation = "tanh";
  preset.width = 8;
  expect_losses(golden, nn::make_preset(preset, options.sample, options.outputs), options,
                [](nn::Program& program, std::uint64_t step, std::int64_t first) {
                  fill_input(program, step, first);
                  for (std::int64_t i = 0; i < program.options().microbatch; ++i)
                    program.labels(0)[i] = static_cast<std::int32_t>(
                        splitmix64(500 + step, static_cast<std::uint64_t>(first + i)) % 10);
                });
}

TEST(Volumes, losses_are_as_near_to_float64_as_pytorch) {
  nn::ProgramOptions options;
  options.sample = Shape{32, 32, 32, 4};
  options.outputs = 4;
  options.loss = ops::LossKind::kMse;
  nn::PresetOptions preset;
  preset.preset = "cosmoflow";
  expect_losses(read("cosmoflow"), nn::make_preset(preset, options.sample, options.outputs),
                options, [](nn::Program& program, std::uint64_t step, std::int64_t first) {
                  fill_input(program, step, first);
                  for (std::int64_t i = 0; i < program.options().microbatch * 4; ++i)
                    program.targets(0)[i] = static_cast<float>(
                        uniform(500 + step, static_cast<std::uint64_t>(first * 4 + i)));
                });
}

INSTANTIATE_TEST_SUITE_P(Presets, Images, ::testing::Values("linear", "mlp", "lenet", "resnet20"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace lockstep::golden
