// What a run leaves for its report beside its checkpoints: run.json, what was run, on what, with
// which outcome; profile.jsonl, where the seconds of each window went, by rank. A simulated run
// leaves the same.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/train/tables.h"

namespace lockstep::train {

inline constexpr const char* kRunRecord = "run.json";
inline constexpr const char* kProfile = "profile.jsonl";
inline constexpr const char* kPlanRecord = "plan.json";

// As `lockstep plan --out` writes it and train copies it into the folder (plan.machine).
struct PlannedRecord {
  std::string machine;
  std::map<std::string, double> step;  // seconds by phase: "compute", "fold", "exposed", ...
  double step_seconds = 0, samples_per_second = 0, seconds = 0;
  double rank_memory = 0, node_memory = 0;  // bytes
};
std::string planned_record_json(const PlannedRecord& record);
// Throws as read_run_record().
PlannedRecord read_planned_record(const std::filesystem::path& file);

struct RunRecord {
  std::string name;  // of the folder or the run file
  bool simulated = false;
  std::string version;                 // of the program
  std::string started, ended, ending;  // UTC, ISO 8601; why it ended, "" while it runs
  std::string resolved_toml;
  std::vector<std::pair<std::string, std::string>> settings;     // rows of the start report
  std::vector<std::pair<std::string, std::string>> environment;  // versions, processor
  std::vector<std::string> hosts;                                // by position
  std::int64_t ranks = 1, nodes = 1, threads = 1;
  std::int64_t batch = 0, lanes = 1, steps = 0, steps_per_epoch = 0, sequence = 0;
  double parameters = 0, step_flops = 0;
  std::vector<LedgerRow> ledger;           // of position 0
  std::vector<std::uint64_t> peak_memory;  // resident bytes by position, at the end
  std::string digest;                      // the last one, and after which step
  std::int64_t digest_step = 0;
  std::optional<PlannedRecord> planned;
};
std::string run_record_json(const RunRecord& record);
// Throws UserError if the file is missing, DataError naming it if it is no such record.
RunRecord read_run_record(const std::filesystem::path& file);
std::string utc_text(double since_1970);  // seconds -> "2026-11-22T23:56:26Z"

// A window of steps: seconds by position, each the whole window's. Of more than kProfiledRanks
// ranks, those that are kept are spread evenly, and the slowest is among them.
inline constexpr int kProfiledRanks = 64;
struct ProfileLine {
  std::int64_t step = 0, steps = 0;  // the last one, and how many
  double seconds = 0;                // of the slowest
  double at = 0;                     // since the start of the process
  std::vector<int> positions;
  std::map<std::string, std::vector<double>> phases;  // "compute", "fold", "exposed", "hidden",
                                                      // "data", "other", in order of positions
  // "memory": resident now; in the window: "sent" in messages, "read" from peers of the node,
  // "loaded" from files. Of what is not known there is no entry.
  std::map<std::string, std::vector<double>> bytes;
};
// Positions that a line keeps of so many ranks.
std::vector<int> profiled_positions(int ranks, int slowest);
std::string profile_line_json(const ProfileLine& line);  // ends in a newline
// The whole lines; one that is still being written is left out. Throws UserError if the file cannot
// be read, DataError naming the line that is damaged.
std::vector<ProfileLine> read_profile(const std::filesystem::path& file);

}  // namespace lockstep::train
