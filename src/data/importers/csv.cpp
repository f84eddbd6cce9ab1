#include <cstring>

#include "csv_reader.h"
#include "csv_survey.h"
#include "lockstep/core/error.h"
#include "source.h"

namespace lockstep::data {
namespace {

constexpr std::int64_t kMostByteClasses = 256;

class CsvSource final : public Source {
 public:
  CsvSource(const std::filesystem::path& file, std::shared_ptr<const CsvPlan> plan)
      : reader_(file),
        plan_(std::move(plan)),
        samples_(plan_->rows.at(file.string())),
        features_(plan_->features.size()),
        rows_{reinterpret_cast<const std::byte*>(features_.data()), target_} {
    reader_.next(cells_);  // the header
  }

  std::int64_t samples() const override { return samples_; }

  const std::vector<const std::byte*>& next() override {
    if (!reader_.next(cells_) || cells_.size() != plan_->header.size()) changed();
    for (std::size_t i = 0; i < features_.size(); ++i)
      if (!parse_number(cells_[plan_->features[i]], features_[i])) changed();
    write_target(cells_[plan_->target]);
    return rows_;
  }

 private:
  void write_target(const std::string& cell) {
    if (!plan_->target_is_class) {
      float value;
      if (!parse_number(cell, value)) changed();
      std::memcpy(target_, &value, sizeof value);
      return;
    }
    std::int64_t number = 0;
    if (plan_->class_of.empty()) {
      if (!parse_integer(cell, number)) changed();
    } else {
      const auto first = cell.find_first_not_of(" \t");
      const auto last = cell.find_last_not_of(" \t");
      if (first == std::string::npos) changed();
      const auto known =
          plan_->class_of.find(std::string_view(cell).substr(first, last - first + 1));
      if (known == plan_->class_of.end()) changed();
      number = known->second;
    }
    const auto label = static_cast<std::int32_t>(number);  // little endian: u8 is its first byte
    std::memcpy(target_, &label, sizeof label);
  }

  [[noreturn]] void changed() const {
    throw DataError("{} changed while it was imported (near line {})", reader_.path(),
                    reader_.line());
  }

  CsvReader reader_;
  std::shared_ptr<const CsvPlan> plan_;  // shared by the files of an import
  std::int64_t samples_;
  std::vector<float> features_;
  std::byte target_[4] = {};
  std::vector<const std::byte*> rows_;
  std::vector<std::string> cells_;
};

}  // namespace

Sources open_csv(const ImportOptions& options) {
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
  const auto plan = std::make_shared<const CsvPlan>(survey_csv(files, options));

  Sources sources;
  SourceDescription& told = sources.description;
  const DType label = plan->classes <= kMostByteClasses ? DType::kU8 : DType::kI32;
  told.columns = {{"features", DType::kF32, {static_cast<std::int64_t>(plan->features.size())}},
                  {plan->target_is_class ? "label" : "target",
                   plan->target_is_class ? label : DType::kF32,
                   {}}};
  told.target_is_class = plan->target_is_class;
  told.class_names = plan->class_names;
  told.left_out = plan->left_out;
  for (const std::size_t column : plan->features)
    told.feature_names.push_back(plan->header[column]);
  sources.train = std::make_unique<CsvSource>(options.train.front(), plan);
  if (!options.test.empty()) sources.test = std::make_unique<CsvSource>(options.test.front(), plan);
  return sources;
}

}  // namespace lockstep::data
