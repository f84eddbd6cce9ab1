// Other people's files (make_foreign.py), and descriptions of them.
#pragma once
#include <string>
#include <vector>

#include "files.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data::testing {

// The folder that make_foreign.py filled, once per process.
const fs::path& foreign_files();

FieldDescription field(const std::string& name, const std::string& path,
                       Layout layout = Layout::kRows, std::vector<std::int64_t> block = {});
// Of one name or glob in that folder.
Description described(const std::string& path);
Description deepcam(const fs::path& folder = foreign_files());
Description cosmo(const fs::path& folder = foreign_files());

std::vector<std::byte> read_rows(const Manifest& manifest, const Split& split, const Field& field,
                                 std::int64_t at_once);

}  // namespace lockstep::data::testing
