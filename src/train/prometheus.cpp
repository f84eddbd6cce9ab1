#include "train/prometheus.h"

#include <fmt/format.h>

#include <cmath>

namespace lockstep::train {
namespace {

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

std::string label(const char* name, const std::string& value) {
  std::string text = fmt::format("{}=\"", name);
  for (const char c : value) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') text += '\\';
    text += c;
  }
  return text + '"';
}

class Text {
 public:
  explicit Text(const RunGauges& gauges) {
    labels_ = label("run", gauges.run);
    if (!gauges.job.empty()) labels_ += fmt::format(",{}", label("slurm_job", gauges.job));
  }
  void family(const char* name, const char* type, const char* help) {
    name_ = name;
    text_ += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
  }
  void sample(double value, const std::string& more = "") {
    text_ += fmt::format("{}{{{}{}{}}} {}\n", name_, labels_, more.empty() ? "" : ",", more,
                         number(value));
  }
  void gauge(const char* name, const char* help, double value) {
    family(name, "gauge", help);
    sample(value);
  }
  void gauge(const char* name, const char* help, const std::optional<double>& value) {
    if (value) gauge(name, help, *value);
  }
  void counter(const char* name, const char* help, double value) {
    family(name, "counter", help);
    sample(value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_, labels_;
  const char* name_ = "";
};

}  // namespace

std::string prometheus_text(const RunGauges& g) {
  Text text(g);
  text.gauge("lockstep_updated_timestamp_seconds", "When these figures were taken.", g.time);
  text.gauge("lockstep_running", "1 while the run goes on, 0 once it has ended.",
             g.running ? 1.0 : 0.0);
  if (g.exit_code)
    text.gauge("lockstep_exit_code", "How the run ended: 0 done, 75 stopped with a checkpoint.",
               static_cast<double>(*g.exit_code));
  text.gauge("lockstep_step", "Steps of the run that are done.", static_cast<double>(g.step));
  text.gauge("lockstep_planned_steps", "Steps of the whole run.",
             static_cast<double>(g.total_steps));
  text.gauge("lockstep_epoch", "Epoch of the last step, from 1.", static_cast<double>(g.epoch));
  text.gauge("lockstep_loss", "Loss of the last step.", g.loss);
  text.gauge("lockstep_learning_rate", "Learning rate of the last step.", g.learning_rate);
  text.counter("lockstep_samples_total", "Samples trained on since the program started.",
               static_cast<double>(g.samples));
  text.gauge("lockstep_samples_per_second", "Samples of all ranks a second, of late.",
             g.samples_per_second);
  text.family("lockstep_phase_seconds_total", "counter",
              "Where the seconds of rank 0 went since the program started.");
  for (const auto& [phase, seconds] : g.seconds) text.sample(seconds, label("phase", phase));
  text.gauge("lockstep_memory_peak_bytes", "Resident memory of rank 0 at most.", g.memory);
  text.gauge("lockstep_checkpoint_timestamp_seconds", "When the newest checkpoint was complete.",
             g.checkpoint_time);
  if (g.checkpoint_time)
    text.gauge("lockstep_checkpoint_step", "Step of the newest checkpoint.",
               static_cast<double>(g.checkpoint_step));
  text.gauge("lockstep_attempts", "Starts of the program that the run has taken.",
             static_cast<double>(g.attempts));
  text.gauge("lockstep_goodput_ratio",
             "Part of the time since the first start that went into steps that count.", g.goodput);
  text.gauge("lockstep_cores_busy_ratio", "CPU time of rank 0 over the cores that it asked for.",
             g.cores);
  text.gauge("lockstep_gpu_busy_ratio", "Part of the time in which rank 0's GPU ran a kernel.",
             g.gpu);
  return text.take();
}

}  // namespace lockstep::train
