#include "foreign.h"

#include <algorithm>
#include <cstdlib>

#include "data/row_source.h"

namespace lockstep::data::testing {

const fs::path& foreign_files() {
  static const TemporaryFolder folder;
  static const int code = std::system(
      ("/usr/bin/python3 '" LOCKSTEP_MAKE_FOREIGN "' '" + folder.path().string() + "'").c_str());
  LOCKSTEP_CHECK(code == 0, "make_foreign.py failed; is python3-h5py installed?");
  return folder.path();
}

FieldDescription field(const std::string& name, const std::string& path, Layout layout,
                       std::vector<std::int64_t> block) {
  FieldDescription d;
  d.name = name;
  d.path = path;
  d.layout = layout;
  d.block = std::move(block);
  return d;
}

Description described(const std::string& path) {
  Description d;
  d.path = {(foreign_files() / path).string()};
  return d;
}

Description deepcam(const fs::path& folder) {
  Description d;
  d.fields = {field("data", "/climate/data", Layout::kSample),
              field("labels", "/climate/labels_0", Layout::kSample),
              field("number", "/climate/number", Layout::kSample)};
  d.splits = {{.name = "train", .files = {(folder / "deepcam/data-*.h5").string()}},
              {.name = "val", .files = {(folder / "deepcam_val/*.h5").string()}}};
  return d;
}

Description cosmo(const fs::path& folder) {
  Description d;
  d.path = {(folder / "cosmo/*.hdf5").string()};
  d.fields = {field("full", "/full", Layout::kBlocks, {4, 2, 4}),
              field("unitPar", "/unitPar", Layout::kSample)};
  return d;
}

std::vector<std::byte> read_rows(const Manifest& manifest, const Split& split, const Field& field,
                                 std::int64_t at_once) {
  const auto reader = open_rows(manifest, split, field);
  std::vector<std::byte> all(static_cast<std::size_t>(field.count) * field.sample_bytes());
  KeptUnit kept;
  for (std::int64_t first = 0; first < field.count; first += at_once)
    reader->read(first, std::min(at_once, field.count - first),
                 all.data() + static_cast<std::size_t>(first) * field.sample_bytes(), kept);
  return all;
}

}  // namespace lockstep::data::testing
