#include "lockstep/train/run_record.h"

#include <ctime>
#include <nlohmann/json.hpp>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"

namespace lockstep::train {
namespace {

using Json = nlohmann::ordered_json;

// Texts may hold any bytes that a file name may.
std::string dumped(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Json pairs_json(const std::vector<std::pair<std::string, std::string>>& rows) {
  Json json = Json::array();
  for (const auto& [name, value] : rows) json.push_back({name, value});
  return json;
}

std::vector<std::pair<std::string, std::string>> pairs_of(const Json& json) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Json& row : json)
    rows.emplace_back(row.at(0).get<std::string>(), row.at(1).get<std::string>());
  return rows;
}

// What a file of another version has not keeps its default.
template <class T>
void take(const Json& json, const char* key, T& value) {
  if (json.contains(key)) json.at(key).get_to(value);
}

Json planned_json(const PlannedRecord& r) {
  return {{"machine", r.machine},           {"step", r.step},
          {"step_seconds", r.step_seconds}, {"samples_per_second", r.samples_per_second},
          {"seconds", r.seconds},           {"rank_memory", r.rank_memory},
          {"node_memory", r.node_memory}};
}

PlannedRecord planned_of(const Json& json) {
  PlannedRecord r;
  json.at("step").get_to(r.step);
  json.at("step_seconds").get_to(r.step_seconds);
  take(json, "machine", r.machine);
  take(json, "samples_per_second", r.samples_per_second);
  take(json, "seconds", r.seconds);
  take(json, "rank_memory", r.rank_memory);
  take(json, "node_memory", r.node_memory);
  return r;
}

Json ledger_json(const std::vector<LedgerRow>& rows) {
  Json json = Json::array();
  for (const LedgerRow& row : rows) {
    json.push_back({{"name", row.name}, {"bytes", row.bytes}, {"note", row.note}});
    if (row.on_device) json.back()["on_device"] = true;
  }
  return json;
}

std::vector<LedgerRow> ledger_of(const Json& json) {
  std::vector<LedgerRow> rows;
  for (const Json& row : json)
    rows.push_back(
        {row.at("name"), row.at("bytes"), row.value("note", ""), row.value("on_device", false)});
  return rows;
}

RunRecord record_of(const Json& json) {
  RunRecord r;
  json.at("ranks").get_to(r.ranks);
  json.at("name").get_to(r.name);
  take(json, "simulated", r.simulated);
  take(json, "version", r.version);
  take(json, "started", r.started);
  take(json, "ended", r.ended);
  take(json, "ending", r.ending);
  take(json, "hosts", r.hosts);
  take(json, "nodes", r.nodes);
  take(json, "threads", r.threads);
  take(json, "batch", r.batch);
  take(json, "lanes", r.lanes);
  take(json, "steps", r.steps);
  take(json, "steps_per_epoch", r.steps_per_epoch);
  take(json, "sequence", r.sequence);
  take(json, "parameters", r.parameters);
  take(json, "step_flops", r.step_flops);
  take(json, "digest", r.digest);
  take(json, "digest_step", r.digest_step);
  take(json, "peak_memory", r.peak_memory);
  take(json, "run", r.resolved_toml);
  if (json.contains("settings")) r.settings = pairs_of(json.at("settings"));
  if (json.contains("environment")) r.environment = pairs_of(json.at("environment"));
  if (json.contains("ledger")) r.ledger = ledger_of(json.at("ledger"));
  if (json.contains("planned")) r.planned = planned_of(json.at("planned"));
  return r;
}

// Every wrong type or missing key comes out of nlohmann as an exception.
template <class Make>
auto read_as(const std::filesystem::path& file, const char* what, Make make) {
  const std::string text = read_file(file);
  try {
    return make(Json::parse(text));
  } catch (const Json::exception& error) {
    throw DataError("{} is no record of {}: {}", file.string(), what, error.what());
  }
}

}  // namespace

std::string utc_text(double since_1970) {
  const auto time = static_cast<std::time_t>(since_1970);
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::string text(20, '\0');
  std::strftime(text.data(), text.size() + 1, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string planned_record_json(const PlannedRecord& record) {
  return dumped(planned_json(record), 1) + "\n";
}

PlannedRecord read_planned_record(const std::filesystem::path& file) {
  return read_as(file, "a plan", planned_of);
}

std::string run_record_json(const RunRecord& r) {
  Json json{{"name", r.name},
            {"simulated", r.simulated},
            {"version", r.version},
            {"started", r.started},
            {"ended", r.ended},
            {"ending", r.ending},
            {"ranks", r.ranks},
            {"nodes", r.nodes},
            {"threads", r.threads},
            {"hosts", r.hosts},
            {"batch", r.batch},
            {"lanes", r.lanes},
            {"steps", r.steps},
            {"steps_per_epoch", r.steps_per_epoch},
            {"sequence", r.sequence},
            {"parameters", r.parameters},
            {"step_flops", r.step_flops},
            {"digest", r.digest},
            {"digest_step", r.digest_step}};
  json["peak_memory"] = r.peak_memory;
  json["ledger"] = ledger_json(r.ledger);
  json["settings"] = pairs_json(r.settings);
  json["environment"] = pairs_json(r.environment);
  if (r.planned) json["planned"] = planned_json(*r.planned);
  json["run"] = r.resolved_toml;
  return dumped(json, 1) + "\n";
}

RunRecord read_run_record(const std::filesystem::path& file) {
  return read_as(file, "a run", record_of);
}

}  // namespace lockstep::train
