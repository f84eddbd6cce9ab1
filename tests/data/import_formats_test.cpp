// Every format against the library that wrote its files, bit for bit, on any number of ranks; and
// what is refused, with the place that is named.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/row_source.h"
#include "files.h"
#include "lockstep/comm/communicator.h"
#include "lockstep/data/import.h"

namespace lockstep::data {
namespace {

using namespace testing;
using nlohmann::json;

comm::Communicator& world() {
  static const auto communicator = comm::make_communicator({});
  return *communicator;
}

// Made by the first rank.
const fs::path& inputs() {
  static std::optional<TemporaryFolder> mine;
  if (world().rank() == 0 && !mine) {
    mine.emplace();
    const std::string command =
        "/usr/bin/python3 '" LOCKSTEP_MAKE_IMPORTS "' '" + mine->path().string() + "'";
    LOCKSTEP_CHECK(std::system(command.c_str()) == 0, "make_imports.py failed");
  }
  static const fs::path path = comm::broadcast_text(world(), mine ? mine->path().string() : "");
  return path;
}

ImportOptions options_of(const json& told) {
  ImportOptions options;
  const auto files = [&](const char* key) {
    std::vector<fs::path> paths;
    for (const std::string& name : told.value(key, std::vector<std::string>()))
      paths.push_back(inputs() / name);
    return paths;
  };
  options.train = files("train");
  options.test = files("test");
  options.out = inputs() / "out.h5";
  options.val_fraction = 0;
  options.overwrite = true;
  options.format = told.value("format", "");
  options.chunk_bytes = told.value("chunk_bytes", options.chunk_bytes);
  options.deflate = told.value("deflate", 0);
  options.inputs = told.value("inputs", options.inputs);
  options.target = told.value("target", "");
  options.target_is_class = told.value("kind", "class") == "class";
  options.missing = told.value("missing", "error");
  options.missing_cells = told.value("missing_cells", options.missing_cells);
  options.separator = told.value("separator", "");
  options.type = told.value("type", "");
  options.shape = told.value("shape", "");
  options.record = told.value("record", "");
  options.order = told.value("order", "little");
  options.skip = told.value("skip", 0);
  options.drop_alpha = told.value("drop_alpha", false);
  return options;
}

std::vector<std::byte> rows_of(const Manifest& manifest, const Split& split, const Field& field) {
  std::vector<std::byte> rows(static_cast<std::size_t>(field.count) * field.sample_bytes());
  KeptUnit kept;
  open_rows(manifest, split, field)->read(0, field.count, rows.data(), kept);
  return rows;
}

void expect_fields(const json& splits, const fs::path& file) {
  const Manifest manifest = read_manifest(file);
  EXPECT_EQ(manifest.splits.size(), splits.size());
  for (const auto& [name, fields] : splits.items()) {
    const Split* split = manifest.find(name);
    ASSERT_NE(split, nullptr) << name;
    EXPECT_EQ(split->fields.size(), fields.size());
    for (const auto& [field_name, expected] : fields.items()) {
      const Field* field = split->find(field_name);
      ASSERT_NE(field, nullptr) << field_name;
      // Class numbers may be stored in another type than the source has.
      EXPECT_EQ(name_of(field->dtype), expected.at("type").get<std::string>()) << field_name;
      const auto shape = expected.at("shape").get<std::vector<std::int64_t>>();
      EXPECT_EQ(field->sample.prepend(field->count), Shape(shape)) << field_name;
      EXPECT_TRUE(rows_of(manifest, *split, *field) ==
                  file_bytes(inputs() / expected.at("file").get<std::string>()))
          << field_name;
    }
  }
}

// All rows, statistics and hashes; what says when and by whom a file was made may differ.
void expect_same(const fs::path& file, const fs::path& other) {
  const Manifest a = read_manifest(file), b = read_manifest(other);
  EXPECT_EQ(a.id, b.id);
  ASSERT_EQ(a.splits.size(), b.splits.size());
  for (const Split& split : a.splits)
    for (const Field& field : split.fields) {
      const Split& same = *b.find(split.name);
      EXPECT_TRUE(rows_of(a, split, field) == rows_of(b, same, *same.find(field.name)));
    }
  const auto fields = [](const Manifest& m) { return json::parse(m.text).at("fields").dump(); };
  EXPECT_EQ(fields(a), fields(b));
}

// What this build lacks for a case; null: nothing.
const char* absent_library(const std::string& name) {
  if (!LOCKSTEP_HAS_PNG && name.starts_with("png_")) return "libpng";
  if (!LOCKSTEP_HAS_NETCDF && (name.starts_with("netcdf_") || name.ends_with(".nc")))
    return "NetCDF";
  return nullptr;
}

int files_in(const fs::path& folder) {
  return static_cast<int>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(ImportFormats, give_what_their_own_libraries_wrote_and_refuse_the_rest) {
  const auto text = file_bytes(inputs() / "cases.json");
  const json cases =
      json::parse(std::string(reinterpret_cast<const char*>(text.data()), text.size()));
  ASSERT_GT(cases.size(), 100U);
  for (const json& c : cases) {
    const std::string name = c.at("name");
    SCOPED_TRACE(name);
    const ImportOptions options = options_of(c.at("options"));
    if (const char* absent = absent_library(name)) {
      EXPECT_TRUE(contains_all(refusal([&] { import_dataset(world(), options, nullptr); }),
                               {"UserError", "this build has no", absent}));
      continue;
    }
    const int before = files_in(inputs());
    world().barrier();
    const std::string said = refusal([&] { import_dataset(world(), options, [](double) {}); });
    if (c.contains("refused")) {
      EXPECT_TRUE(contains_all(said, c.at("refused"))) << said;
      world().barrier();  // the first rank has removed what it had begun
      EXPECT_EQ(files_in(inputs()), before);
    } else {
      EXPECT_EQ(said, "");
    }
    if (world().rank() == 0 && said.empty() && c.contains("splits")) {
      expect_fields(c.at("splits"), options.out);
      if (world().size() > 1) {
        ImportOptions alone = options;
        alone.out = inputs() / "alone.h5";
        import_dataset(alone, nullptr);
        expect_same(options.out, alone.out);
        fs::remove(alone.out);
      }
      fs::remove(options.out);
    }
    world().barrier();
  }
}

TEST(ImportFormats, cut_splits_that_do_not_depend_on_the_ranks) {
  for (const char* file : {"x.npy", "csv_blocks.csv", "many.jsonl", "records.raw.gz"}) {
    json told{{"train", {file}}, {"chunk_bytes", 5000}, {"deflate", 1}};
    if (std::string(file).find(".raw") != std::string::npos)
      told.update({{"format", "raw"}, {"record", "label:u8 image:i16:4x3 depth:f64"}});
    ImportOptions options = options_of(told);
    options.val_fraction = 0.3;
    options.test_fraction = 0.21;
    import_dataset(world(), options, nullptr);
    if (world().rank() == 0) {
      ImportOptions alone = options;
      alone.out = inputs() / "alone.h5";
      import_dataset(alone, nullptr);
      expect_same(options.out, alone.out);
      const Manifest manifest = read_manifest(options.out);
      EXPECT_EQ(manifest.splits.size(), 3U);
    }
    world().barrier();
  }
}

}  // namespace
}  // namespace lockstep::data
