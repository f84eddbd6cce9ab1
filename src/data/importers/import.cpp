#include "lockstep/data/import.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "../manifest_text.h"
#include "lockstep/core/error.h"
#include "lockstep/core/philox.h"
#include "progress.h"
#include "source.h"

namespace lockstep::data {
namespace {

using nlohmann::json;

enum Part : std::uint8_t { kTrain, kVal, kTest, kParts };
constexpr const char* kPartNames[kParts] = {"train", "val", "test"};

// The stream of numbers that chooses the splits; epochs never reach it.
constexpr std::uint64_t kSplitStream = std::numeric_limits<std::uint64_t>::max() - 1;

std::string guess_format(const ImportOptions& options) {
  if (!options.format.empty()) return options.format;
  if (options.train.empty()) return "";
  const std::string name = options.train.front().filename().string();
  if (name.find("ubyte") != std::string::npos || name.find("idx") != std::string::npos)
    return "idx";
  if (name.find(".csv") != std::string::npos) return "csv";
  if (name.find(".txt") != std::string::npos) return "text";
  throw UserError("cannot tell the format of {} by its name; give --format idx, csv or text",
                  options.train.front().string());
}

Sources open_sources(const ImportOptions& options, const std::string& format) {
  if (!options.val.empty())
    throw UserError("--val is for text; of {} files --val-fraction takes the val split", format);
  if (format == "idx") return open_idx(options);
  if (format == "csv") return open_csv(options);
  throw UserError("unknown format \"{}\"; the formats are idx, csv and text", format);
}

std::int64_t share(std::int64_t samples, double fraction, const char* name) {
  if (!(fraction >= 0 && fraction < 1))
    throw UserError("{} is {}; it must be at least 0 and below 1", name, fraction);
  return std::llround(static_cast<double>(samples) * fraction);
}

// To which split each sample of the training files goes.
std::vector<Part> deal(const ImportOptions& options, std::int64_t samples, bool test_given) {
  const std::int64_t val = share(samples, options.val_fraction, "val_fraction");
  const std::int64_t test = test_given ? 0 : share(samples, options.test_fraction, "test_fraction");
  if (val + test >= samples)
    throw UserError("{} samples leave none to train on with val_fraction {} and test_fraction {}",
                    samples, options.val_fraction, options.test_fraction);
  LOCKSTEP_CHECK(samples <= std::numeric_limits<std::uint32_t>::max(), "{} samples", samples);
  std::vector<std::uint32_t> chosen(static_cast<std::size_t>(samples));
  permutation(options.seed, kSplitStream, 0, 0, static_cast<std::uint32_t>(samples), chosen.data());
  std::vector<Part> parts(static_cast<std::size_t>(samples), kTrain);
  for (std::int64_t i = 0; i < val; ++i) parts[chosen[static_cast<std::size_t>(i)]] = kVal;
  for (std::int64_t i = val; i < val + test; ++i)
    parts[chosen[static_cast<std::size_t>(i)]] = kTest;
  return parts;
}

json names_of(const std::vector<std::filesystem::path>& files) {
  json names = json::array();
  for (const auto& file : files) names.push_back(file.filename().string());
  return names;
}

std::string manifest_of(const ImportOptions& options, const SourceDescription& source,
                        const DatasetWriter& writer) {
  const auto& splits = writer.splits();
  json fields;
  for (std::size_t i = 0; i < source.columns.size(); ++i) {
    json field{{"role", i == 0 ? "input" : "target"}};
    if (i == 1 && source.target_is_class) {
      std::size_t classes = source.class_names.size();
      json counts;
      for (const auto& split : splits) {
        classes = std::max(classes, split->class_counts(i).size());
        counts[split->name()] = split->class_counts(i);
      }
      field["classes"] = classes;
      field["class_counts"] = counts;
      if (!source.class_names.empty()) field["class_names"] = source.class_names;
    } else {
      const Statistics& s = splits.front()->statistics(i);  // of the train split alone
      field["statistics"] = {{"mean", s.mean()},
                             {"deviation", s.deviation()},
                             {"minimum", s.minimum()},
                             {"maximum", s.maximum()},
                             {"count", s.count()}};
    }
    if (i == 0 && !source.feature_names.empty()) field["columns"] = source.feature_names;
    fields[source.columns[i].name] = field;
  }
  json samples;
  for (const auto& split : splits) samples[split->name()] = split->samples();
  const json made{{"by", "lockstep import"},
                  {"format", guess_format(options)},
                  {"train", names_of(options.train)},
                  {"test", names_of(options.test)},
                  {"left_out", source.left_out},
                  {"val_fraction", options.val_fraction},
                  {"test_fraction", options.test_fraction},
                  {"seed", options.seed}};
  const json all{
      {"format", kManifestFormat}, {"splits", samples}, {"fields", fields}, {"made", made}};
  return all.dump(2, ' ', false, json::error_handler_t::replace);
}

}  // namespace

void import_dataset(const ImportOptions& options, const std::function<void(double)>& progress) {
  if (options.chunk_bytes < 1)
    throw UserError("chunk_bytes is {}; it must be positive", options.chunk_bytes);
  if (options.deflate < 0 || options.deflate > 9)
    throw UserError("deflate is {}; it must be 0 (off) or 1 to 9", options.deflate);
  const std::string format = guess_format(options);
  if (options.train.empty())
    throw UserError("nothing to import; name the files of the train split");
  if (format == "text") return import_text(options, progress);
  Sources sources = open_sources(options, format);
  const std::int64_t from_train = sources.train->samples();
  const std::int64_t from_test = sources.test ? sources.test->samples() : 0;
  const std::vector<Part> parts = deal(options, from_train, sources.test != nullptr);
  std::int64_t sizes[kParts] = {0, 0, from_test};
  for (const Part part : parts) ++sizes[part];

  DatasetWriter writer(options);
  SplitWriter* splits[kParts] = {};
  for (int part = 0; part < kParts; ++part)
    if (sizes[part] > 0)
      splits[part] = &writer.add_split(kPartNames[part], sizes[part], sources.description.columns);
  Progress told(progress, from_train + from_test);
  for (const Part part : parts) {
    splits[part]->append(sources.train->next());
    told.add(1);
  }
  for (std::int64_t i = 0; i < from_test; ++i) {
    splits[kTest]->append(sources.test->next());
    told.add(1);
  }
  for (SplitWriter* split : splits)
    if (split != nullptr) split->flush();
  writer.finish(manifest_of(options, sources.description, writer));
}

}  // namespace lockstep::data
