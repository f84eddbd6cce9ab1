// The sections of a page, each from what the runs left. A section about what no run left adds
// nothing.
#pragma once
#include <string>
#include <vector>

#include "report/page.h"
#include "report/run_folder.h"

namespace lockstep::report {

using Runs = std::vector<RunFolder>;

// Figures of single runs are shown of so many runs at most.
constexpr std::size_t kRunsApart = 6;

void add_summary(const Runs& runs, Page& page);
void add_learning(const Runs& runs, Page& page);
void add_speed(const Runs& runs, Page& page);
void add_time(const Runs& runs, Page& page);
void add_scaling(const Runs& runs,
                 Page& page);  // where runs differ in ranks alone, or in batch, too
void add_memory(const Runs& runs, Page& page);
void add_plan(const Runs& runs, Page& page);
void add_events(const Runs& runs, Page& page);
void add_configuration(const Runs& runs, Page& page);

// A phase of a step as its record names it, as people read it, and its colour.
struct PhaseName {
  const char* key;
  const char* name;
  int colour;
};
const std::vector<PhaseName>& step_phases();  // that add up to a step

Unit seconds_unit();
Unit bytes_unit();
// "2 ranks", or the label, or both where labels alone do not tell runs apart.
void tell_apart(Runs& runs);
// Marks of what happened, for a figure over steps.
std::vector<Mark> event_marks(const Runs& runs);

}  // namespace lockstep::report
