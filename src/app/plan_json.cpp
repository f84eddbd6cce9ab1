#include "app/plan_json.h"

#include <nlohmann/json.hpp>

#include "lockstep/core/files.h"

namespace lockstep::app {
namespace {

using Json = nlohmann::ordered_json;

Json memory_json(const std::vector<nn::LedgerRow>& rows) {
  Json out = Json::object();
  for (const nn::LedgerRow& row : rows) out[row.name] = row.bytes;
  return out;
}

Json step_json(const plan::Phases& step) {
  return {{"compute", step.compute}, {"fold", step.fold},   {"exposed", step.exposed},
          {"hidden", step.hidden},   {"data", step.data},   {"other", step.other},
          {"total", step.total()}};
}

const char* name_of(plan::Bottleneck bottleneck) {
  constexpr const char* kNames[] = {"compute", "memory_bandwidth", "overhead", "fold",
                                    "network", "data",             "balance"};
  return kNames[static_cast<std::size_t>(bottleneck)];
}

Json prediction_json(const plan::Prediction& p) {
  return {{"ranks", p.layout.ranks},
          {"ranks_per_node", p.layout.ranks_per_node},
          {"strategy", plan::way_name(p.parallel)},
          {"lanes", p.lanes},
          {"batch", p.batch},
          {"step_seconds", step_json(p.step)},
          {"samples_per_second", p.samples_per_second},
          {"efficiency", p.efficiency},
          {"run_seconds", p.seconds},
          {"rank_bytes", p.rank_memory},
          {"host_bytes", p.host_memory},
          {"node_bytes", p.node_memory},
          {"fits", p.fits},
          {"bytes_sent", p.bytes_sent},
          {"checkpoint_seconds", p.checkpoint_seconds},
          {"checkpoint_interval_seconds", p.checkpoint_interval},
          {"bottleneck", name_of(p.bottleneck)}};
}

Json series_json(const std::vector<plan::Prediction>& series) {
  Json out = Json::array();
  for (const plan::Prediction& p : series) out.push_back(prediction_json(p));
  return out;
}

Json way_json(const plan::PlannedWay& way) {
  Json out = way.prediction ? prediction_json(*way.prediction)
                            : Json{{"ranks", way.layout.ranks},
                                   {"ranks_per_node", way.layout.ranks_per_node},
                                   {"strategy", plan::way_name(way.parallel)}};
  if (!way.refusal.empty()) out["refused"] = way.refusal;
  out["memory_bytes"] = memory_json(way.memory);
  return out;
}

}  // namespace

std::string plan_json(const PlanReport& report) {
  const plan::Job& job = report.job;
  Json out{{"run", job.name},
           {"device", job.device},
           {"precision", job.precision},
           {"parameters", job.parameters},
           {"batch", job.batch},
           {"lanes", job.lanes},
           {"accumulate", job.accumulate},
           {"microbatch", job.microbatch},
           {"steps", job.steps},
           {"steps_per_epoch", job.steps_per_epoch},
           {"step_flops", job.flops()},
           {"step_bytes", job.bytes()},
           {"checkpoint_bytes", job.checkpoint_bytes},
           {"machine", report.machine ? Json(report.machine->name) : Json()},
           {"one_is_enough", report.advice.one_is_enough},
           {"advice", report.advice.sentences}};
  out["layouts"] = Json::array();
  for (const plan::PlannedWay& way : report.ways) out["layouts"].push_back(way_json(way));
  out["strong_scaling"] = series_json(report.strong);
  out["weak_scaling"] = series_json(report.weak);
  return out.dump(1) + "\n";
}

void write_plan_json(const PlanReport& report, const std::filesystem::path& file) {
  write_file_atomically(file, plan_json(report));
}

}  // namespace lockstep::app
