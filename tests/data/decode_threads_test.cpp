// The number of threads that decode changes neither samples nor errors.
#include <gtest/gtest.h>

#include <fstream>

#include "loading.h"

namespace lockstep::data {
namespace {

using namespace testing;

TEST(DecodeThreads, hand_out_the_same_samples_whatever_their_number) {
  const TemporaryFolder folder;
  for (const std::int64_t chunk : {1, 7, 64, 1000})
    for (const std::int64_t window : {5, 33, 400}) {
      const Manifest manifest = numbered_rows(folder.path(), 1009, chunk, 4);
      LoaderOptions options = options_for(3, 2, 4, window);
      for (const int threads : {1, 2, 5}) {
        options.threads = threads;
        const auto loader = make_loader(world(), manifest, options);
        const comm::LaneRange lanes[] = {{0, 3}};
        loader->start(lanes, {});
        for (std::int64_t s = 0; s < 2 * loader->steps_per_epoch(); ++s)
          for (std::int64_t lane = 0; lane < 3; ++lane) {
            const Position at = after({}, s, loader->steps_per_epoch());
            ASSERT_EQ(take(*loader, options, lane, at, 1),
                      expected(1009, chunk, options, lane, at, 1))
                << "chunk " << chunk << " window " << window << " threads " << threads;
          }
      }
    }
}

TEST(DecodeThreads, tell_the_error_that_one_thread_meets_first) {
  const TemporaryFolder folder;
  const fs::path file = folder / "damage.h5";
  fs::copy_file(h5py_files() / "damage.h5", file);
  std::ifstream places(h5py_files() / "damage.txt");
  std::uint64_t row, offset, size;
  for (int i = 0; places >> row >> offset >> size; ++i)
    if (i >= 3) flip_byte(file, offset + size / 2);
  const Manifest manifest = read_manifest(file);
  std::string first;
  for (const int threads : {1, 2, 4})
    for (int round = 0; round < 5; ++round) {
      LoaderOptions options = options_for(1, 1, 5, 100);
      options.threads = threads;
      const auto loader = make_loader(world(), manifest, options);
      const comm::LaneRange lanes[] = {{0, 1}};
      loader->start(lanes, {});
      std::vector<float> input(5 * 15);
      std::vector<std::int32_t> labels(5);
      const std::string told = refusal([&] {
        loader->fill(0, {0, 0}, 0, input.data(), labels.data(), nullptr);
      });
      EXPECT_TRUE(contains_all(told, {"DataError", "damage.h5", "/train/x", "chunk at ["}));
      if (first.empty()) first = told;
      EXPECT_EQ(told, first) << threads;
    }
}

}  // namespace
}  // namespace lockstep::data
