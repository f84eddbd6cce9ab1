// A run's figures in Prometheus' text format, for node exporter's textfile collector: names begin
// with lockstep_, units are seconds and bytes, parts of a whole are ratios. Knows no files.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace lockstep::train {

struct RunGauges {
  std::string run, job;  // labels of every figure; "": none
  double time = 0;       // of these figures, seconds since 1970
  std::int64_t step = 0, total_steps = 0, epoch = 0, samples = 0;
  std::optional<double> loss, learning_rate, samples_per_second;
  std::map<std::string, double> seconds;  // by phase, of rank 0
  double memory = 0;                      // resident bytes of rank 0 at most
  std::optional<double> checkpoint_time;
  std::int64_t checkpoint_step = 0;
  std::int64_t attempts = 1;
  double goodput = 0, cores = 0;  // ratios
  std::optional<double> gpu;      // ratio
  bool running = true;
  std::optional<int> exit_code;  // of a run that ended in good order
};
std::string prometheus_text(const RunGauges& gauges);

}  // namespace lockstep::train
