#include "lockstep/data/import.h"

#include <algorithm>
#include <optional>

#include "../elements.h"
#include "lockstep/core/error.h"
#include "append.h"
#include "made_manifest.h"
#include "missing.h"
#include "progress.h"
#include "source.h"
#include "splits.h"

namespace lockstep::data {
namespace {

constexpr std::int64_t kRoundBytes = 8 << 20;  // rows that a rank reads and packs at a time
constexpr double kSurveyed = 0.5;              // of the work, where a format is surveyed first

Sources open_sources(comm::Communicator& communicator, const ImportOptions& options,
                     const std::string& format, Progress& progress) {
  if (!options.val.empty())
    throw UserError("--val is for text; of {} files --val-fraction takes the val split", format);
  if (format == "idx") return open_idx(options);
  if (format == "npy" || format == "npz") return open_numpy(communicator, options);
  if (format == "raw") return open_raw(options);
  if (format == "png") return open_png(communicator, options);
  if (format == "netcdf") return open_netcdf(options);
  progress.stage(kSurveyed, 1);
  if (format == "jsonl") return open_json_lines(communicator, options, progress);
  return open_csv(communicator, options, progress);
}

// The work of all ranks on one split: rounds in which each packs some chunks in a row, and the first
// writes them in order.
class SplitWork {
 public:
  SplitWork(comm::Communicator& communicator, const std::vector<SourceField>& fields,
            const Missing& missing)
      : communicator_(communicator), fields_(fields), missing_(missing) {}

  void run(const SplitPlan& plan, Source& source, const Choice& choice, SplitWriter* writer,
           Progress& progress) {
    const std::int64_t ranks = communicator_.size(), chunks = plan.chunks();
    const std::int64_t most = std::max<std::int64_t>(kRoundBytes / plan.bytes(), 1);
    const std::int64_t each = std::min(most, (chunks + ranks - 1) / ranks);
    for (std::int64_t first = 0; first < chunks; first += each * ranks) {
      message_.clear();
      communicator_.together([&] {
        const std::int64_t begin = first + communicator_.topology().position * each;
        for (std::int64_t c = begin; c < std::min(begin + each, chunks); ++c)
          pack(plan, source, choice, c);
      });
      communicator_.together([&] {
        communicator_.gather(message_, 0, [&](int, std::span<const std::byte> message) {
          while (!message.empty()) writer->write(take_chunk(message));
        });
      });
      progress.add(std::min(each * ranks, chunks - first) * plan.chunk);
    }
  }

 private:
  void pack(const SplitPlan& plan, Source& source, const Choice& choice, std::int64_t chunk) {
    const std::int64_t first = chunk * plan.chunk,
                       count = std::min(plan.chunk, plan.samples - first);
    choice.take(first, count, numbers_);
    held_.resize(fields_.size());
    out_.resize(fields_.size());
    lacking_.assign(static_cast<std::size_t>(count), 0);
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      held_[f].resize(static_cast<std::size_t>(count) * plan.forms[f].row_bytes());
      out_[f] = held_[f].data();
    }
    source.read(numbers_, out_, lacking_);
    fill_missing(missing_, fields_, source, numbers_, out_, lacking_);
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      if (fields_[f].classes) check_classes(source, f);
      put_chunk(pack_chunk(plan.forms[f], static_cast<std::int64_t>(f), chunk, held_[f]),
                message_);
    }
  }

  void check_classes(Source& source, std::size_t f) {
    const auto count = static_cast<std::int64_t>(numbers_.size());
    const DType dtype = fields_[f].column.dtype;
    const std::int64_t bad = first_bad_label(dtype, out_[f], count, Statistics::kMostClasses);
    if (bad == count) return;
    double label = 0;
    to_doubles(dtype, out_[f] + static_cast<std::size_t>(bad) * size_of(dtype), 1, &label);
    throw DataError("{} has the label {}; classes are numbered from 0, and are fewer than {}",
                    source.place(numbers_[static_cast<std::size_t>(bad)], f), label,
                    Statistics::kMostClasses);
  }

  comm::Communicator& communicator_;
  const std::vector<SourceField>& fields_;
  const Missing& missing_;
  std::vector<std::byte> message_;
  std::vector<std::int64_t> numbers_;
  std::vector<std::vector<std::byte>> held_;
  std::vector<std::byte*> out_;
  std::vector<std::uint8_t> lacking_;
};

void check_options(const ImportOptions& options) {
  if (options.chunk_bytes < 1)
    throw UserError("chunk_bytes is {}; it must be positive", options.chunk_bytes);
  if (options.deflate < 0 || options.deflate > 9)
    throw UserError("deflate is {}; it must be 0 (off) or 1 to 9", options.deflate);
  if (options.train.empty())
    throw UserError("nothing to import; name the files of the train split");
}

}  // namespace

void import_dataset(comm::Communicator& communicator, const ImportOptions& options,
                    const std::function<void(double)>& progress) {
  check_options(options);
  const std::string format = import_format(options);
  if (format == "text") {
    if (!options.append.empty())
      throw UserError("text is not appended to: import all of it, in its order, as one dataset");
    communicator.together([&] {
      if (communicator.rank() == 0) import_text(options, progress);
    });
    return;
  }
  Missing missing = parse_missing(options.missing);
  communicator.together([&] {
    if (communicator.rank() == 0) DatasetWriter::check_name(options);
  });
  Progress told(progress, 1);
  Sources sources;
  // What is opened by each rank alone fails on each rank alone.
  if (format == "idx" || format == "raw" || format == "netcdf")
    communicator.together([&] { sources = open_sources(communicator, options, format, told); });
  else
    sources = open_sources(communicator, options, format, told);
  const std::optional<Manifest> old = read_older_version(communicator, options);
  if (old) conform_to(*old, sources);
  const std::vector<SourceField>& fields = sources.description.fields;
  if (missing.policy == Missing::Policy::kDrop) {
    sources.train = drop_missing(communicator, fields, std::move(sources.train));
    if (sources.test) sources.test = drop_missing(communicator, fields, std::move(sources.test));
  }
  const std::int64_t from_train = sources.train->samples(),
                     from_test = sources.test ? sources.test->samples() : 0;
  auto choices = deal_samples(communicator, options, from_train, sources.test != nullptr);
  if (missing.policy == Missing::Policy::kMean)
    find_means(communicator, fields, *sources.train, choices[kTrain], missing);
  if (sources.test) choices[kTest] = Choice(from_test);

  std::vector<Column> columns;
  for (const SourceField& field : fields) columns.push_back(field.column);
  std::optional<DatasetWriter> writer;  // on the first rank
  communicator.together([&] {
    if (communicator.rank() == 0) writer.emplace(options);
  });
  told.stage(1, from_train + from_test);
  SplitWork work(communicator, fields, missing);
  for (int kind = 0; kind < kSplitKinds; ++kind) {
    const Choice& choice = choices[static_cast<std::size_t>(kind)];
    if (choice.samples() == 0) continue;
    SplitPlan plan(kSplitNames[static_cast<std::size_t>(kind)], choice.samples(), columns,
                         options);
    if (old) take_chunk_of(*old, plan);
    SplitWriter* split = nullptr;
    communicator.together([&] {
      if (writer) split = &writer->add_split(plan);
    });
    Source& source = kind == kTest && sources.test ? *sources.test : *sources.train;
    work.run(plan, source, choice, split, told);
  }
  communicator.together([&] {
    if (!writer) return;
    const Manifest* parent = old ? &*old : nullptr;
    const Written written = what_is_written(*writer, parent);
    writer->finish(made_manifest(options, format, sources.description, written, parent),
                   written.hashes);
  });
}

void import_dataset(const ImportOptions& options, const std::function<void(double)>& progress) {
  const auto alone = comm::make_self_communicator();
  import_dataset(*alone, options, progress);
}

}  // namespace lockstep::data
