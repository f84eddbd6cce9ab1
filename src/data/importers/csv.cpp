#include <cstring>
#include <limits>

#include "csv_survey.h"
#include "lockstep/core/error.h"
#include "source.h"

namespace lockstep::data {
namespace {

class CsvSource final : public Source {
 public:
  CsvSource(const CsvFile& file, std::shared_ptr<const CsvPlan> plan, const ImportOptions& options)
      : records_(file.bytes, file.index, plan->separator),
        plan_(std::move(plan)),
        samples_(file.index->records - 1),
        missing_(options) {}

  std::int64_t samples() const override { return samples_; }

  void read(std::span<const std::int64_t> rows, std::span<std::byte* const> fields,
            std::span<std::uint8_t> missing) override {
    const std::size_t label_bytes = size_of(plan_->labels.dtype());
    std::byte* features = fields[0];
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::vector<std::string>& cells = records_.at(rows[i] + 1);
      if (cells.size() != plan_->header.size()) changed();
      for (const std::size_t column : plan_->features) {
        float value = std::numeric_limits<float>::quiet_NaN();
        if (!missing_(cells[column]) && !parse_number(cells[column], value)) changed();
        std::memcpy(features, &value, sizeof value);
        features += sizeof value;
      }
      write_target(cells[plan_->target], fields[1] + i * label_bytes, missing[i]);
    }
  }

  std::string place(std::int64_t row, std::size_t) override {
    records_.at(row + 1);
    return fmt::format("{}: line {}", records_.path(), records_.line());
  }

 private:
  void write_target(const std::string& cell, std::byte* out, std::uint8_t& missing) const {
    if (!missing_(cell)) {
      if (!plan_->labels.write(cell, out)) changed();
      return;
    }
    const float nothing = std::numeric_limits<float>::quiet_NaN();
    missing = plan_->labels.classes;
    if (plan_->labels.classes)
      std::memset(out, 0, size_of(plan_->labels.dtype()));
    else
      std::memcpy(out, &nothing, sizeof nothing);
  }

  [[noreturn]] void changed() const {
    throw DataError("{} changed while it was imported (near line {})", records_.path(),
                    records_.line());
  }

  CsvRecords records_;
  std::shared_ptr<const CsvPlan> plan_;  // shared by the files of an import
  std::int64_t samples_;
  MissingCells missing_;
};

}  // namespace

Sources open_csv(comm::Communicator& communicator, const ImportOptions& options,
                 Progress& progress) {
  const auto one_file = [](const std::vector<std::filesystem::path>& files, const char* split) {
    if (files.size() != 1)
      throw UserError("the {} split of a CSV import is one file, not {}", split, files.size());
  };
  one_file(options.train, "train");
  std::vector<std::filesystem::path> files = options.train;
  if (!options.test.empty()) {
    one_file(options.test, "test");
    files.push_back(options.test.front());
  }
  std::int64_t bytes = 0;
  for (const auto& file : files) {
    std::error_code ignored;
    const auto size = std::filesystem::file_size(file, ignored);
    if (!ignored) bytes += static_cast<std::int64_t>(size);
  }
  constexpr double kSurveyed = 0.5;  // of the work: two passes are the survey's, one converts
  progress.stage(kSurveyed, 2 * bytes);
  const auto plan =
      std::make_shared<const CsvPlan>(survey_csv(communicator, files, options, progress));

  Sources sources;
  SourceField features{
      {"features", DType::kF32, {static_cast<std::int64_t>(plan->features.size())}},
      "input",
      false,
      {},
      {},
      ""};
  for (const std::size_t column : plan->features)
    features.column_names.push_back(plan->header[column]);
  const Labels& labels = plan->labels;
  SourceField target{{labels.classes ? "label" : "target", labels.dtype(), {}},
                     "target",
                     labels.classes,
                     labels.class_names,
                     {},
                     ""};
  sources.description.fields = {features, target};
  sources.description.left_out = plan->left_out;
  sources.train = std::make_unique<CsvSource>(plan->files[0], plan, options);
  if (!options.test.empty())
    sources.test = std::make_unique<CsvSource>(plan->files[1], plan, options);
  return sources;
}

}  // namespace lockstep::data
