#include "csv_survey.h"

#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/core/log.h"

namespace lockstep::data {
namespace {

constexpr char kSeparators[] = {',', '\t', ';', '|'};
constexpr std::size_t kHeaderBytes = 64 << 10;

// The one of the usual separators that the header has most of, outside of quotes.
char find_separator(PositionedBytes& bytes) {
  std::string text(kHeaderBytes, '\0');
  text.resize(bytes.read_at(0, text.data(), text.size()));
  const auto begin = text.find_first_not_of("\r\n\xEF\xBB\xBF");
  std::int64_t counts[std::size(kSeparators)] = {};
  bool quoted = false;
  for (std::size_t i = begin; i < text.size(); ++i) {
    if (text[i] == '"') quoted = !quoted;
    if (quoted) continue;
    if (text[i] == '\n' || text[i] == '\r') break;
    for (std::size_t s = 0; s < std::size(kSeparators); ++s) counts[s] += text[i] == kSeparators[s];
  }
  return kSeparators[std::max_element(std::begin(counts), std::end(counts)) - std::begin(counts)];
}

char separator_of(const ImportOptions& options, PositionedBytes& bytes) {
  const std::string& given = options.separator;
  if (given.empty()) return find_separator(bytes);
  if (given == "tab" || given == "\\t") return '\t';
  if (given == "comma") return ',';
  if (given == "semicolon") return ';';
  if (given.size() != 1 || given == "\"" || given == "\n" || given == "\r")
    throw UserError("--separator is \"{}\"; it must be one character, or comma, tab or semicolon",
                    given);
  return given[0];
}

class Survey {
 public:
  Survey(comm::Communicator& communicator, const ImportOptions& options, Progress& progress)
      : communicator_(communicator), options_(options), progress_(progress), missing_(options) {}

  void read(const std::filesystem::path& path) {
    CsvFile file{path, nullptr, nullptr};
    communicator_.together([&] {
      file.bytes = open_bytes(path);
      if (plan_.files.empty()) plan_.separator = separator_of(options_, *file.bytes);
    });
    auto index =
        index_records(communicator_, *file.bytes, {plan_.separator, true, false}, progress_);
    if (index.records == 0)
      throw DataError("{} is empty; a CSV file begins with a header line", path.string());
    file.index = std::make_shared<const RecordIndex>(std::move(index));
    std::vector<ColumnSeen> seen;
    communicator_.together([&] {
      CsvRecords records(file.bytes, file.index, plan_.separator);
      take_header(records, records.at(0));
      if (file.index->records == 1)
        throw DataError("{} has a header line but no rows", path.string());
      seen.resize(plan_.header.size());
      see_rows(records, *file.index, seen);
    });
    merge(seen);
    total_ += file.index->records - 1;
    plan_.files.push_back(std::move(file));
  }

  CsvPlan finish() {
    const std::string file = options_.train.front().string();
    for (std::size_t c = 0; c < plan_.header.size(); ++c) {
      if (c == plan_.target) continue;
      const bool wanted = is_input(plan_.header[c]);
      if (seen_[c].numbers() > 0 && seen_[c].numbers() + seen_[c].missing() == total_) {
        if (wanted) plan_.features.push_back(c);
      } else if (seen_[c].numbers() == 0 && (!wanted || options_.inputs.empty())) {
        plan_.left_out.push_back(plan_.header[c]);
      } else if (wanted) {
        throw DataError("{}; mend or remove the line, or say by --missing what it stands for",
                        seen_[c].first_other().empty()
                            ? fmt::format("{}: column \"{}\" has no number", file, plan_.header[c])
                            : seen_[c].first_other());
      }
    }
    if (plan_.features.empty())
      throw DataError("{} has no column of numbers beside the target", file);
    if (!plan_.left_out.empty())
      log::warn("columns of text are left out: {}", fmt::join(plan_.left_out, ", "));
    plan_.labels =
        Labels::settle(seen_[plan_.target], total_, plan_.header[plan_.target], file, options_);
    return std::move(plan_);
  }

 private:
  bool is_input(const std::string& name) const {
    return options_.inputs.empty() ||
           std::find(options_.inputs.begin(), options_.inputs.end(), name) != options_.inputs.end();
  }

  std::size_t column(const CsvRecords& records, const std::vector<std::string>& names,
                     const std::string& name) const {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
      throw UserError("{} has no column \"{}\"; it has: {}", records.path(), name,
                      fmt::join(names, ", "));
    return static_cast<std::size_t>(found - names.begin());
  }

  void take_header(const CsvRecords& records, const std::vector<std::string>& cells) {
    std::vector<std::string> names;
    for (const std::string& cell : cells) names.emplace_back(trim(cell));
    if (!plan_.header.empty()) {
      if (names != plan_.header)
        throw DataError("{} has other columns than {}", records.path(),
                        options_.train.front().string());
      return;
    }
    if (names.size() < 2)
      throw DataError(
          "{}: the header has one column; a feature and a target are needed, with commas, tabs or "
          "semicolons between them, or what --separator says",
          records.path());
    for (std::size_t c = 0; c < names.size(); ++c)
      if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(c), names[c]) !=
          names.begin() + static_cast<std::ptrdiff_t>(c))
        throw DataError("{}: the header has two columns \"{}\"", records.path(), names[c]);
    plan_.target = names.size() - 1;
    if (!options_.target.empty()) plan_.target = column(records, names, options_.target);
    for (const std::string& input : options_.inputs) column(records, names, input);
    plan_.header = std::move(names);
    seen_.resize(plan_.header.size());
  }

  void see_rows(CsvRecords& records, const RecordIndex& index, std::vector<ColumnSeen>& seen) {
    const std::int64_t rows = index.records - 1, ranks = communicator_.size(),
                       position = communicator_.topology().position,
                       end = rows * (position + 1) / ranks;
    for (std::int64_t row = rows * position / ranks; row < end; ++row) {
      const std::vector<std::string>& cells = records.at(row + 1);
      if (cells.size() != plan_.header.size())
        throw DataError("{}: line {} has {} cells, but the header has {}", records.path(),
                        records.line(), cells.size(), plan_.header.size());
      for (std::size_t c = 0; c < cells.size(); ++c)
        seen[c].see(cells[c], missing_, c == plan_.target && options_.target_is_class, [&] {
          return fmt::format("{}: line {}, column \"{}\"", records.path(), records.line(),
                             plan_.header[c]);
        });
      if (row % kRowsTold == 0) progress_.add(told_bytes(index, rows) * ranks);
    }
  }

  static std::int64_t told_bytes(const RecordIndex& index, std::int64_t rows) {
    return static_cast<std::int64_t>(index.bytes) / std::max<std::int64_t>(rows, 1) * kRowsTold;
  }

  // In the order of the rows, so that the first bad cell is the first.
  void merge(const std::vector<ColumnSeen>& seen) {
    std::vector<std::byte> message;
    for (const ColumnSeen& column : seen) column.put(message);
    const auto all = communicator_.gather_all(message);
    std::span<const std::byte> rest = all;
    while (!rest.empty())
      for (ColumnSeen& column : seen_) column.merge(ColumnSeen::take(rest));
  }

  static constexpr std::int64_t kRowsTold = 4096;
  comm::Communicator& communicator_;
  const ImportOptions& options_;
  Progress& progress_;
  MissingCells missing_;
  CsvPlan plan_;
  std::vector<ColumnSeen> seen_;
  std::int64_t total_ = 0;
};

}  // namespace

CsvPlan survey_csv(comm::Communicator& communicator,
                   const std::vector<std::filesystem::path>& files, const ImportOptions& options,
                   Progress& progress) {
  Survey survey(communicator, options, progress);
  for (const auto& file : files) survey.read(file);
  return survey.finish();
}

}  // namespace lockstep::data
