// What the run of a checkpoint folder has used, as its usage.json says.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace lockstep::train {

// Lines; none where there is no record. Throws UserError if it cannot be read.
std::vector<std::string> usage_text(const std::filesystem::path& folder);

}  // namespace lockstep::train
