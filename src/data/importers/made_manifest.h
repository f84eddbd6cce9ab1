// The manifest of an imported dataset, as JSON: roles, what is known of each split, and how the file
// was made. old: null, or the version that it goes on from. Knows no source's bytes.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "../written.h"
#include "source.h"

namespace lockstep::data {

// How: format, files with their sizes, splits; the command and the program's version.
nlohmann::json made_of(const ImportOptions& options, const std::string& format);

std::string made_manifest(const ImportOptions& options, const std::string& format,
                          const SourceDescription& source, const Written& written,
                          const Manifest* old);

}  // namespace lockstep::data
