#include "train/gpu_meter.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace lockstep::train {
namespace {

// Found beside this program: nvml/nvml_stand_in.cpp.
TEST(GpuMeter, averages_what_nvml_says_of_the_device) {
  const GpuMeter meter("12345678-0000");
  std::optional<GpuUse> use;
  for (int i = 0; i < 1000 && !use; ++i) {
    use = meter.use();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(use);
  EXPECT_DOUBLE_EQ(use->busy, 0.4);
  EXPECT_EQ(use->peak_bytes, 5ull << 30);
}

TEST(GpuMeter, of_a_device_that_cannot_be_asked_says_nothing) {
  for (const char* uuid : {"", "12345678-0001", "no-such-device"}) {
    const GpuMeter meter(uuid);
    EXPECT_FALSE(meter.use()) << uuid;
  }
}

}  // namespace
}  // namespace lockstep::train
