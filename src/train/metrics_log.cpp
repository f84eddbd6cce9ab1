#include "lockstep/train/metrics_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/log.h"

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

// The whole lines of steps up to `last`. A rollback stands at the step that it led to, whose
// checkpoint knows only of those before.
std::string kept_lines(const std::string& text, std::int64_t last, std::int64_t rollbacks) {
  std::string kept;
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = text.substr(at, end - at);
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_object() && json.value("step", last + 1) <= last &&
        json.value("rollback", std::int64_t{0}) <= rollbacks)
      kept += line + "\n";
  }
  return kept;
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
    : file_(file) {
  const bool keep = resumed_step && std::filesystem::exists(file);
  write_file_atomically(file, keep ? kept_lines(read_file(file), *resumed_step, rollbacks) : "");
  fd_ = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd_ < 0) throw UserError("cannot open {}: {}", file.string(), std::strerror(errno));
}

MetricsLog::~MetricsLog() {
  if (fd_ >= 0) ::close(fd_);
}

void MetricsLog::write(const WindowRecord& r, const TimeRecord& time) {
  append(fmt::format("{{\"step\":{},\"epoch\":{},\"loss\":{}{},\"lr\":{},\"gradient_norm\":{}",
                     r.step, r.epoch, number(r.loss), metrics_text(r.metrics), number(r.lr),
                     number(r.gradient_norm)) +
         time_text(time));
}

void MetricsLog::write(const EvaluationRecord& r, const TimeRecord& time) {
  append(fmt::format("{{\"step\":{},\"epoch\":{},\"split\":{},\"loss\":{}{},\"best\":{}", r.step,
                     r.epoch, quoted(r.split), number(r.loss), metrics_text(r.metrics), r.best) +
         time_text(time));
}

void MetricsLog::write(const EventRecord& r, const TimeRecord& time) {
  append(
      fmt::format("{{\"step\":{},\"event\":{},\"why\":{}", r.step, quoted(r.event), quoted(r.why)) +
      (r.rollback > 0 ? fmt::format(",\"rollback\":{}", r.rollback) : "") + time_text(time));
}

void MetricsLog::append(const std::string& line) {
  if (fd_ < 0) return;
  const off_t before = ::lseek(fd_, 0, SEEK_END);
  if (::write(fd_, line.data(), line.size()) == static_cast<ssize_t>(line.size())) {
    return;
  }
  const char* reason = std::strerror(errno);
  if (!warned_)
    log::warn("cannot append to {}: {}; lines will be missing there", file_.string(), reason);
  warned_ = true;
  // Half a line would spoil the next one.
  if (::ftruncate(fd_, before) != 0) ::close(std::exchange(fd_, -1));
}

}  // namespace lockstep::train
