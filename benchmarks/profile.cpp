// What a line of profile.jsonl costs a run: microseconds between two steps, of the gathering and of
// the line. Under mpirun as many ranks as it has. A run spends at most a 2000th of its time on it,
// because its windows grow until that holds; this says from which length of a window on none has to.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/clock.h"
#include "train/profiler.h"

int main() {
  using namespace lockstep;
  constexpr int kLines = 2000;
  const auto communicator = comm::make_communicator({});
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / "lockstep-bench-profile";
  std::filesystem::create_directories(folder);
  train::Run run;
  run.checkpoint.dir = folder.string();
  run.log.window = 1;
  train::RankTimes times;
  train::Observed observed{*communicator, run, [&times] { return times; }, {}, {}};
  observed.total_steps = kLines;
  observed.steps_per_epoch = kLines;
  train::Profiler profiler(observed);
  profiler.begun(0);
  std::vector<double> seconds;
  for (int step = 1; step <= kLines; ++step) {
    times.total += 3600;  // no window has to grow
    times.compute += 3599;
    communicator->barrier();
    const double start = seconds_now();
    profiler.ended({step, 1, 3600, nullptr});
    seconds.push_back(seconds_now() - start);
  }
  std::ranges::sort(seconds);
  const double median = seconds[kLines / 2];
  if (communicator->rank() == 0) {
    fmt::print("{} ranks: {:.1f} us a line (median; 99 %: {:.1f} us), {:.0f} bytes; "
               "a 2000th of windows of {:.0f} ms\n",
               communicator->size(), 1e6 * median, 1e6 * seconds[kLines * 99 / 100],
               static_cast<double>(std::filesystem::file_size(folder / train::kProfile)) / kLines,
               1e3 * 2000 * median);
    std::filesystem::remove_all(folder);
  }
  communicator->barrier();
  return 0;
}
