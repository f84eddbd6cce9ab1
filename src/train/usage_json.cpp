// usage.json, to be read by people and scripts.
#include <nlohmann/json.hpp>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/train/usage.h"
#include "train/usage_record.h"

namespace lockstep::train {
namespace {

using Json = nlohmann::ordered_json;

Json rounded(double number) { return static_cast<std::int64_t>(number); }

Json to_json(const Attempt& a) {
  Json marks = Json::array();
  for (const auto& mark : a.history.marks()) marks.push_back({mark.step, mark.seconds});
  Json json{{"started", a.started},
            {"updated", a.updated},
            {"ended", a.ended.empty() ? Json(nullptr) : Json(a.ended)},
            {"hosts", a.hosts},
            {"nodes", a.hosts.size()},
            {"ranks", a.ranks},
            {"threads", a.threads}};
  if (!a.slurm_job.empty()) json["slurm_job"] = a.slurm_job;
  json["first_step"] = a.history.first();
  json["last_step"] = a.history.last();
  json["lost_steps"] = a.history.lost();
  json["step_seconds"] = a.history.seconds();
  json["seconds"] = a.seconds;
  json["cores"] = {{"asked", a.cores},
                   {"cpu_seconds", a.cpu_seconds},
                   {"wall_seconds", a.cpu_wall},
                   {"busy", a.cpu_part()}};
  if (a.gpus > 0)
    json["gpus"] = {
        {"count", a.gpus}, {"busy", a.gpu_busy}, {"peak_memory_bytes", rounded(a.gpu_peak)}};
  json["peak_memory_bytes"] = Json::array();
  for (const double bytes : a.peak_memory) json["peak_memory_bytes"].push_back(rounded(bytes));
  json["bytes"] = {{"loaded", rounded(a.bytes_loaded)},
                   {"in_messages", rounded(a.bytes_sent)},
                   {"read_from_peers", rounded(a.bytes_from_peers)}};
  json["marks"] = std::move(marks);
  return json;
}

Attempt attempt_of(const Json& json) {
  Attempt a;
  a.started = json.at("started");
  a.updated = json.at("updated");
  if (json.at("ended").is_string()) a.ended = json.at("ended");
  a.hosts = json.at("hosts").get<std::vector<std::string>>();
  a.ranks = json.at("ranks");
  a.threads = json.at("threads");
  a.slurm_job = json.value("slurm_job", "");
  std::vector<StepHistory::Mark> marks;
  for (const Json& mark : json.at("marks")) marks.push_back({mark.at(0), mark.at(1)});
  for (std::size_t i = 1; i < marks.size(); ++i) {
    if (marks[i].step <= marks[i - 1].step) throw UserError("its marks are out of order");
  }
  a.history = StepHistory::restored(std::move(marks), json.at("lost_steps"));
  a.seconds = json.at("seconds").get<std::map<std::string, double>>();
  const Json& cores = json.at("cores");
  a.cores = cores.at("asked");
  a.cpu_seconds = cores.at("cpu_seconds");
  a.cpu_wall = cores.at("wall_seconds");
  if (json.contains("gpus")) {
    a.gpus = json.at("gpus").at("count");
    a.gpu_busy = json.at("gpus").at("busy");
    a.gpu_peak = json.at("gpus").at("peak_memory_bytes");
  }
  a.peak_memory = json.at("peak_memory_bytes").get<std::vector<double>>();
  const Json& bytes = json.at("bytes");
  a.bytes_loaded = bytes.at("loaded");
  a.bytes_sent = bytes.at("in_messages");
  a.bytes_from_peers = bytes.at("read_from_peers");
  return a;
}

}  // namespace

std::string usage_json(std::span<const Attempt> attempts) {
  const Goodput good = goodput(attempts);
  Json json{{"goodput",
             {{"useful_step_seconds", good.useful},
              {"wall_seconds", good.wall},
              {"running_seconds", good.running},
              {"of_wall", good.of_wall()},
              {"of_running", good.of_running()},
              {"lost_steps", good.lost}}},
            {"attempts", Json::array()}};
  for (const Attempt& a : attempts) json["attempts"].push_back(to_json(a));
  return json.dump(1) + "\n";
}

std::vector<Attempt> parse_usage(const std::string& text, const std::string& name) {
  try {
    std::vector<Attempt> attempts;
    const Json whole = Json::parse(text);
    for (const Json& json : whole.at("attempts")) attempts.push_back(attempt_of(json));
    return attempts;
  } catch (const std::exception& error) {
    throw UserError("{} is no record of a run's usage: {}", name, error.what());
  }
}

std::vector<std::string> usage_text(const std::filesystem::path& folder) {
  const std::filesystem::path path = usage_path(folder);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return {};
  const std::vector<Attempt> attempts = parse_usage(read_file(path), path.string());
  std::vector<std::string> lines = usage_lines(attempts);
  for (const Attempt& a : attempts)
    lines.push_back(fmt::format(
        "steps {} to {} on {} rank{}, {} node{}{}: {}", a.history.first() + 1, a.history.last(),
        a.ranks, a.ranks == 1 ? "" : "s", a.hosts.size(), a.hosts.size() == 1 ? "" : "s",
        a.slurm_job.empty() ? "" : fmt::format(", job {}", a.slurm_job),
        a.ended.empty() ? "runs, or was killed" : a.ended));
  return lines;
}

}  // namespace lockstep::train
