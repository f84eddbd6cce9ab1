#include "loading.h"

#include <gtest/gtest.h>

#include "lockstep/data/import.h"

namespace lockstep::data::testing {

comm::Communicator& world() {
  static const std::unique_ptr<comm::Communicator> communicator = comm::make_communicator({});
  return *communicator;
}

Manifest numbered_rows(const fs::path& folder, std::int64_t samples, std::int64_t chunk_rows,
                       int deflate) {
  const fs::path out = folder / fmt::format("rows{}_{}_{}.h5", samples, chunk_rows, deflate);
  if (world().rank() == 0 && !fs::exists(out)) {
    std::string text = "row,rest,label\n";
    for (std::int64_t i = 0; i < samples; ++i)
      text += fmt::format("{},{},{}\n", i, i * i % 97, i % 5);
    const fs::path csv = folder / "rows.csv";
    write_text(csv, text);
    ImportOptions options;
    options.train = {csv};
    options.out = out;
    options.val_fraction = 0;
    options.chunk_bytes = chunk_rows * 8;  // two floats a row
    options.deflate = deflate;
    import_dataset(options, nullptr);
  }
  return read_manifest(world(), {.path = {out.string()}});
}

LoaderOptions options_for(std::int64_t lanes, std::int64_t accumulate, std::int64_t microbatch,
                          std::int64_t window) {
  LoaderOptions options;
  options.lanes = lanes;
  options.accumulate = accumulate;
  options.microbatch = microbatch;
  options.batch = lanes * accumulate * microbatch;
  options.window = window;
  options.normalise = Normalise::kNone;
  options.classes = 5;
  return options;
}

Position after(Position at, std::int64_t steps, std::int64_t steps_per_epoch) {
  const std::int64_t all = at.epoch * steps_per_epoch + at.step + steps;
  return {all / steps_per_epoch, all % steps_per_epoch};
}

std::vector<std::int64_t> take(Loader& loader, const LoaderOptions& options, std::int64_t lane,
                               Position at, std::int64_t steps) {
  std::vector<std::int64_t> rows;
  std::vector<float> input(static_cast<std::size_t>(options.microbatch * 2));
  std::vector<std::int32_t> labels(static_cast<std::size_t>(options.microbatch));
  for (std::int64_t s = 0; s < steps; ++s) {
    const Position now = after(at, s, loader.steps_per_epoch());
    for (std::int64_t micro = 0; micro < options.accumulate; ++micro) {
      loader.fill(lane, now, micro, input.data(), labels.data(), nullptr);
      for (std::size_t i = 0; i < labels.size(); ++i) {
        const auto row = static_cast<std::int64_t>(input[2 * i]);
        EXPECT_EQ(input[2 * i + 1], static_cast<float>(row * row % 97));
        EXPECT_EQ(labels[i], row % 5);
        rows.push_back(row);
      }
    }
  }
  return rows;
}

std::vector<std::int64_t> expected(std::int64_t samples, std::int64_t chunk,
                                   const LoaderOptions& options, std::int64_t lane, Position at,
                                   std::int64_t steps) {
  const std::int64_t steps_per_epoch = samples / options.batch;
  const std::int64_t per_step = options.accumulate * options.microbatch;
  std::vector<std::int64_t> rows;
  for (std::int64_t s = 0; s < steps; ++s) {
    const Position now = after(at, s, steps_per_epoch);
    const auto all = lane_order(samples, chunk, options, now.epoch, lane);
    for (std::int64_t i = 0; i < per_step; ++i)
      rows.push_back(all[static_cast<std::size_t>(now.step * per_step + i)]);
  }
  return rows;
}

}  // namespace lockstep::data::testing
