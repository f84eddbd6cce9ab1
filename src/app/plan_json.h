// All that lockstep plan found, as it prints it and as a file for programs.
#pragma once
#include <filesystem>
#include <optional>
#include <vector>

#include "lockstep/plan/advice.h"
#include "lockstep/plan/tables.h"

namespace lockstep::app {

struct PlanReport {
  plan::Job job;
  std::optional<plan::Machine> machine;
  std::vector<plan::PlannedWay> ways;  // layout by layout
  std::vector<plan::Prediction> strong, weak;
  plan::Advice advice;
};

std::string plan_json(const PlanReport& report);
// Whole or not at all. Throws UserError naming the file.
void write_plan_json(const PlanReport& report, const std::filesystem::path& file);

}  // namespace lockstep::app
