#include "lockstep/train/metrics_log.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "train/appended_lines.h"

namespace lockstep::train {
namespace {

// fmt prints the shortest digits that read back as the same double; JSON has no NaN or infinity.
std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : "null";
}
std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

std::string metrics_text(const NamedValues& metrics) {
  std::string text;
  for (const auto& [name, value] : metrics)
    text += fmt::format(",{}:{}", quoted(name), number(value));
  return text;
}

std::string time_text(const TimeRecord& time) {
  return fmt::format(",\"time\":{{\"seconds\":{:.3f},\"samples_per_second\":{:.1f}}}}}\n",
                     time.seconds, time.samples_per_second);
}

const std::string kMetricEntry = "window/metric/";

}  // namespace

void MetricsWindow::add(double loss, const NamedValues& metrics, double lr, double gradient_norm) {
  ++steps_;
  loss_ += loss;
  lr_ = lr;
  gradient_norm_ += gradient_norm;
  for (const auto& [name, value] : metrics) metrics_[name] += value;
}

void MetricsWindow::leave_out(double lr) {
  ++steps_;
  ++left_out_;
  lr_ = lr;
}

WindowRecord MetricsWindow::close(std::int64_t step, std::int64_t epoch) {
  const auto mean = [this](double sum) { return sum / static_cast<double>(steps_ - left_out_); };
  WindowRecord record{step, epoch, mean(loss_), {}, lr_, mean(gradient_norm_)};
  for (const auto& [name, sum] : metrics_) record.metrics.emplace_back(name, mean(sum));
  *this = {};
  return record;
}

void MetricsWindow::save(Progress& progress) const {
  progress.integers["window/steps"] = steps_;
  if (left_out_ > 0) progress.integers["window/left_out"] = left_out_;
  progress.reals["window/loss"] = loss_;
  progress.reals["window/lr"] = lr_;
  progress.reals["window/gradient_norm"] = gradient_norm_;
  std::erase_if(progress.reals,
                [](const auto& entry) { return entry.first.starts_with(kMetricEntry); });
  for (const auto& [name, sum] : metrics_) progress.reals[kMetricEntry + name] = sum;
}

void MetricsWindow::load(const Progress& progress) {
  *this = {};
  steps_ = progress.integers.at("window/steps");
  const auto left_out = progress.integers.find("window/left_out");
  if (left_out != progress.integers.end()) left_out_ = left_out->second;
  loss_ = progress.reals.at("window/loss");
  lr_ = progress.reals.at("window/lr");
  gradient_norm_ = progress.reals.at("window/gradient_norm");
  for (const auto& [name, sum] : progress.reals) {
    if (name.starts_with(kMetricEntry)) metrics_[name.substr(kMetricEntry.size())] = sum;
  }
}

std::optional<std::int64_t> best_step(const std::filesystem::path& file) {
  std::optional<std::int64_t> step;
  std::istringstream text(read_file(file));
  for (std::string line; std::getline(text, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_object() && json.contains("best") && json["best"] == true)
      step = json.value("step", std::int64_t{0});
  }
  return step;
}

MetricsLog::MetricsLog(const std::filesystem::path& file, std::optional<std::int64_t> resumed_step,
                       std::int64_t rollbacks)
    : lines_(std::make_unique<AppendedLines>(file, [=](const std::string& line) {
        // A rollback stands at the step that it led to, whose checkpoint knows only of those
        // before.
        const auto json = nlohmann::json::parse(line, nullptr, false);
        return resumed_step && json.is_object() &&
               json.value("step", *resumed_step + 1) <= *resumed_step &&
               json.value("rollback", std::int64_t{0}) <= rollbacks;
      })) {}

MetricsLog::~MetricsLog() = default;

void MetricsLog::write(const WindowRecord& r, const TimeRecord& time) {
  lines_->append(
      fmt::format("{{\"step\":{},\"epoch\":{},\"loss\":{}{},\"lr\":{},\"gradient_norm\":{}", r.step,
                  r.epoch, number(r.loss), metrics_text(r.metrics), number(r.lr),
                  number(r.gradient_norm)) +
      time_text(time));
}

void MetricsLog::write(const EvaluationRecord& r, const TimeRecord& time) {
  lines_->append(fmt::format("{{\"step\":{},\"epoch\":{},\"split\":{},\"loss\":{}{},\"best\":{}",
                             r.step, r.epoch, quoted(r.split), number(r.loss),
                             metrics_text(r.metrics), r.best) +
                 time_text(time));
}

void MetricsLog::write(const EventRecord& r, const TimeRecord& time) {
  lines_->append(
      fmt::format("{{\"step\":{},\"event\":{},\"why\":{}", r.step, quoted(r.event), quoted(r.why)) +
      (r.rollback > 0 ? fmt::format(",\"rollback\":{}", r.rollback) : "") + time_text(time));
}

}  // namespace lockstep::train
