#include "train/mlperf_log.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "train/time_limit.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::int64_t wall_ms(double at) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const double wall = std::chrono::duration<double, std::milli>(now).count();
  return static_cast<std::int64_t>(wall - 1e3 * (seconds_now() - at));
}

std::string from_environment(const char* name, const std::string& otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr && *text != '\0' ? text : otherwise;
}

std::string json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string hardware_text(const comm::Communicator& communicator, const Run& run) {
  const int nodes = communicator.topology().nodes();
  return fmt::format("{} node{}, {} rank{}, {}", nodes, nodes == 1 ? "" : "s", communicator.size(),
                     communicator.size() == 1 ? "" : "s", run.run.device);
}

fs::path earlier(const fs::path& file) { return file.string() + ".before"; }

const char* kNone = "null";

}  // namespace

MlperfLog::MlperfLog(comm::Communicator& communicator, const Run& run, bool resume)
    : run_(run), hardware_(hardware_text(communicator, run)), writes_(communicator.rank() == 0) {
  communicator.together([&] {
    if (!writes_) return;
    const fs::path file = run_.log.mlperf;
    if (fs::exists(file) && !fs::is_regular_file(file))
      throw UserError("log.mlperf = \"{}\" is no file; name one that can be written", file.string());
    continues_ = resume && fs::exists(file);
    std::error_code error;
    if (!continues_ && fs::exists(file)) fs::rename(file, earlier(file), error);
    if (error)
      throw UserError("cannot set aside log.mlperf = \"{}\": {}; name another file", file.string(),
                      error.message());
    lines_ = std::make_unique<AppendedLines>(file, [](const std::string&) { return true; });
  });
  if (!writes_) return;
  if (continues_) return;  // the run has begun, and is told of once
  say_submission();
  const double now = seconds_now();
  tell(Type::kStart, "init_start", kNone, "{}", program_start());
  tell(Type::kEnd, "init_stop", kNone, "{}", now);
  tell(Type::kStart, "run_start", kNone, "{}", now);
}

MlperfLog::~MlperfLog() {
  if (over_ || !writes_ || !lines_) return;
  tell(Type::kEnd, "run_stop", kNone, R"({"status":"aborted"})", seconds_now());
}

void MlperfLog::tell(Type type, const char* key, const std::string& value,
                     const std::string& metadata, double at, std::source_location here) {
  constexpr const char* kTypes[] = {"POINT_IN_TIME", "INTERVAL_START", "INTERVAL_END"};
  Json about = Json::parse(metadata);
  about["file"] = fs::path(here.file_name()).filename().string();
  about["lineno"] = here.line();
  lines_->append(fmt::format(
      ":::MLLOG {{\"namespace\": \"\", \"time_ms\": {}, \"event_type\": \"{}\", \"key\": \"{}\", "
      "\"value\": {}, \"metadata\": {}}}\n",
      wall_ms(at), kTypes[static_cast<int>(type)], key, value, json(about)));
}

void MlperfLog::point(const char* key, const std::string& value, std::source_location here) {
  tell(Type::kPoint, key, value, "{}", seconds_now(), here);
}

void MlperfLog::say_submission() {
  const std::string preset = run_.model.preset.preset;
  point("cache_clear", from_environment("MLPERF_CACHE_CLEAR", "0") == "1" ? "true" : "false");
  point("submission_benchmark",
        json(from_environment("MLPERF_SUBMISSION_BENCHMARK", preset.empty() ? "custom" : preset)));
  point("submission_org", json(from_environment("MLPERF_SUBMISSION_ORG", "unnamed")));
  point("submission_division", json(from_environment("MLPERF_SUBMISSION_DIVISION", "open")));
  point("submission_status", json(from_environment("MLPERF_SUBMISSION_STATUS", "research")));
  point("submission_platform", json(from_environment("MLPERF_SUBMISSION_PLATFORM", hardware_)));
}

void MlperfLog::ready(const MlperfFacts& facts) {
  facts_ = facts;
  if (!writes_) return;
  if (facts.staging_ended > facts.staging_began) {
    tell(Type::kStart, "staging_start", kNone, "{}", facts.staging_began);
    tell(Type::kEnd, "staging_stop", kNone, "{}", facts.staging_ended);
  }
  if (!continues_) say_settings();
}

void MlperfLog::say_settings() {
  point("seed", json(run_.train.seed));
  point("global_batch_size", json(run_.train.batch));
  point("gradient_accumulation_steps", json(run_.train.accumulate));
  point("train_samples", json(facts_.train_samples));
  point("eval_samples", json(facts_.eval_samples));
  if (!run_.model.preset.preset.empty()) point("dropout", json(run_.model.preset.dropout));
  say_optimizer();
}

void MlperfLog::say_optimizer() {
  const optim::Options& o = run_.optimizer;
  const auto steps_per_epoch = static_cast<double>(facts_.steps_per_epoch);
  point("opt_name", json(std::string(name_of(o.kind))));
  point("opt_base_learning_rate", json(o.lr));
  point("opt_weight_decay", json(o.decay));
  if (o.kind == optim::Kind::kSgd) {
    point("opt_momentum", json(o.momentum));
  } else {
    point("opt_adam_beta_1", json(o.beta1));
    point("opt_adam_beta_2", json(o.beta2));
    point("opt_adam_epsilon", json(o.epsilon));
  }
  if (o.clip > 0) point("opt_gradient_clip_norm", json(o.clip));
  point("opt_learning_rate_warmup_steps", json(o.warmup));
  point("opt_learning_rate_warmup_epochs", json(static_cast<double>(o.warmup) / steps_per_epoch));
  // Of the base rate, at the first step.
  point("opt_learning_rate_warmup_factor",
        json(o.warmup > 0 ? 1 / static_cast<double>(o.warmup) : 1.0));
  point("opt_learning_rate_decay_schedule", json(std::string(name_of(o.schedule))));
  Json boundaries = Json::array();
  if (o.schedule == optim::Schedule::kStep && o.step_every > 0) {
    for (std::int64_t step = o.step_every; step < facts_.total_steps; step += o.step_every)
      boundaries.push_back(static_cast<double>(step) / steps_per_epoch);
  }
  point("opt_learning_rate_decay_boundary_epochs", json(boundaries));
  point("opt_learning_rate_decay_factor",
        json(o.schedule == optim::Schedule::kStep ? o.step_factor : 1.0));
}

void MlperfLog::begun(std::int64_t step) {
  if (!writes_ || !continues_) return;
  tell(Type::kPoint, "resumed", json(step), "{}", seconds_now());
}

void MlperfLog::start_epoch(std::int64_t epoch, double at) {
  epoch_ = epoch;
  if (block_ == 0) {
    block_ = epoch;
    const std::int64_t epochs =
        (facts_.total_steps + facts_.steps_per_epoch - 1) / facts_.steps_per_epoch;
    const std::int64_t left = std::max<std::int64_t>(1, epochs - epoch + 1);
    const std::int64_t every = run_.train.evaluate_every;
    // Evaluations come after epochs that `every` divides.
    const std::int64_t count = every > 0 ? std::min(left, every - (epoch - 1) % every) : left;
    tell(Type::kStart, "block_start", kNone,
         json({{"first_epoch_num", epoch}, {"epoch_count", count}}), at);
  }
  tell(Type::kStart, "epoch_start", kNone, json({{"epoch_num", epoch}}), at);
}

void MlperfLog::stop_epoch(double at) {
  tell(Type::kEnd, "epoch_stop", kNone, json({{"epoch_num", epoch_}}), at);
  epoch_ = 0;
}

void MlperfLog::stop_block() {
  if (block_ == 0) return;
  tell(Type::kEnd, "block_stop", kNone, json({{"first_epoch_num", block_}}), seconds_now());
  block_ = 0;
}

// A stretch may reach over the end of an epoch.
void MlperfLog::ended(const Stretch& stretch) {
  if (!writes_ || stretch.steps == 0) return;
  const double now = seconds_now();
  const std::int64_t before = stretch.step - stretch.steps;
  if (epoch_ == 0) start_epoch(before / facts_.steps_per_epoch + 1, now - stretch.seconds);
  while (epoch_ > 0 && stretch.step >= epoch_ * facts_.steps_per_epoch) {
    const std::int64_t next = epoch_ + 1;
    stop_epoch(now);
    if (stretch.step > (next - 1) * facts_.steps_per_epoch) start_epoch(next, now);
  }
}

std::string MlperfLog::epoch_at(std::int64_t step) const {
  const std::int64_t epoch = (std::max<std::int64_t>(1, step) - 1) / facts_.steps_per_epoch + 1;
  return json({{"epoch_num", epoch}});
}

void MlperfLog::evaluating(std::int64_t step) {
  if (!writes_) return;
  if (epoch_ == 0) stop_block();
  tell(Type::kStart, "eval_start", kNone, epoch_at(step), seconds_now());
}

// CosmoFlow's eval_error is the mean absolute error; a language model's accuracy is its loss.
void MlperfLog::evaluated(const EvaluationRecord& record) {
  if (!writes_) return;
  const std::string about = epoch_at(record.step);
  tell(Type::kEnd, "eval_stop", kNone, about, seconds_now());
  const char* key = "eval_accuracy";
  double value = record.loss;
  for (const auto& [name, of_metric] : record.metrics) {
    if (name != "accuracy" && name != "mae") continue;
    if (name == "mae") key = "eval_error";
    value = of_metric;
    break;
  }
  tell(Type::kPoint, key, json(value), about, seconds_now());
}

// A run that stops to be resumed has not ended.
void MlperfLog::finished(std::int64_t step, ExitCode code) {
  over_ = true;
  if (!writes_) return;
  if (code == ExitCode::kStopped) return point("stopped", json(step));
  if (epoch_ > 0) stop_epoch(seconds_now());
  stop_block();
  tell(Type::kEnd, "run_stop", kNone, R"({"status":"success"})", seconds_now());
}

}  // namespace lockstep::train
