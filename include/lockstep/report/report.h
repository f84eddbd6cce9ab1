// One HTML page of what runs left in their folders. It needs no network and no server, and refers
// to nothing outside of itself. Reads files alone: knows no ranks and no model.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace lockstep::report {

// Of one run, or of several laid over each other. Throws UserError if a folder or what a run leaves
// there is missing, DataError naming the file if it is damaged. A run may still be running.
std::string report_page(const std::vector<std::filesystem::path>& folders);

}  // namespace lockstep::report
