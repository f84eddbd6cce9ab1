// The loader: samples as a step takes them.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "bench/data_parts.h"
#include "lockstep/core/fault.h"
#include "lockstep/data/loader.h"
#include "lockstep/data/normalisation.h"
#include "lockstep/data/plain_hdf5.h"
#include "train/setup.h"

namespace lockstep::bench {
namespace {

// As a run sees the data: text in sequences, what normalisation needs.
data::Manifest prepared(const DataSubject& subject) {
  data::Manifest manifest = subject.manifest;
  const std::string& split = subject.run.data.train;
  data::cut_sequences(manifest, subject.run.data.sequence);
  if (train::is_text(manifest)) return manifest;
  const auto add = [&](const std::string& name, const char* role, data::Normalise normalise) {
    const data::Field& field = data::resolve_field(manifest, split, name, role);
    data::add_normalisation(subject.communicator, manifest, split, field.name,
                            data::normalise_of(field, normalise));
  };
  add(subject.run.data.input, "input", subject.run.data.normalise);
  add(subject.run.data.target, "target", data::Normalise::kNone);
  return manifest;
}

class Loading {
 public:
  Loading(const DataSubject& subject)
      : subject_(subject),
        manifest_(prepared(subject)),
        task_(train::make_task(subject.run, manifest_, subject.run.data.train)),
        options_(train::loader_options(subject.run, task_, subject.run.data.train)),
        loader_(data::make_loader(subject.communicator, manifest_, options_)) {
    const auto cut = comm::cut_lanes(options_.lanes, subject.communicator.size());
    lanes_ = cut[static_cast<std::size_t>(subject.communicator.topology().position)];
    loader_->start(std::span(&lanes_, 1), at_);
    values_ = options_.microbatch * task_.input->seen().elements();
    if (options_.input_is_tokens) values_ = options_.microbatch * task_.sequence;
    input_.resize(static_cast<std::size_t>(values_));
    labels_.resize(static_cast<std::size_t>(options_.microbatch * std::max<std::int64_t>(
                                                                     1, task_.labels)));
    targets_.resize(static_cast<std::size_t>(options_.microbatch * std::max<std::int64_t>(
                                                                      1, task_.outputs)));
  }

  void step() {
    loader_->advance(at_);
    for (std::int64_t lane = lanes_.begin; lane < lanes_.end; ++lane)
      for (std::int64_t micro = 0; micro < options_.accumulate; ++micro)
        fill(*loader_, lane, micro);
    if (++at_.step == loader_->steps_per_epoch()) at_ = {at_.epoch + 1, 0};
  }

  // The first microbatch of each lane of this rank against the rows that its order names.
  std::string check() {
    data::LoaderOptions options = options_;
    options.window = loader_->window();
    const data::Split& split = *manifest_.find(options.split);
    const auto rows = data::make_row_reader(manifest_, options);
    loader_->advance(at_);
    std::string found;
    for (std::int64_t lane = lanes_.begin; lane < lanes_.end; ++lane) {
      fill(*loader_, lane, 0);
      bool flip = false;
      if (fault::damages("bench", -1, flip)) input_[input_.size() / 2] += 1;
      if (found.empty() && options.shuffle != data::Shuffle::kFull)
        found = compared(*rows, options, split, lane);
      for (std::int64_t micro = 1; micro < options.accumulate; ++micro)
        fill(*loader_, lane, micro);
    }
    ++at_.step;
    return found;
  }

  const data::LoaderTimes& times() const { return loader_->times(); }
  double sample_bytes() const {
    return static_cast<double>(task_.input->sample_bytes() + task_.target->sample_bytes());
  }
  std::int64_t batch() const { return options_.batch; }
  std::string windows() const { return fmt::format("windows of {}", loader_->window()); }
  bool compares() const { return options_.shuffle != data::Shuffle::kFull; }

 private:
  void fill(data::Loader& loader, std::int64_t lane, std::int64_t micro) {
    loader.fill(lane, at_, micro, input_.data(), task_.target_is_class() ? labels_.data() : nullptr,
                task_.target_is_class() ? nullptr : targets_.data());
  }

  std::string compared(data::RowReader& rows, const data::LoaderOptions& options,
                       const data::Split& split, std::int64_t lane) {
    const auto order =
        data::lane_order(split.samples, data::order_chunk(*task_.input, *task_.target), options,
                         at_.epoch, lane);
    const std::int64_t values = values_ / options.microbatch;
    std::vector<float> row(static_cast<std::size_t>(values)), targets(targets_.size());
    std::vector<std::int32_t> labels(labels_.size());
    for (std::int64_t i = 0; i < options.microbatch; ++i) {
      rows.read(order[static_cast<std::size_t>(i)], 1, row.data(),
                task_.target_is_class() ? labels.data() : nullptr,
                task_.target_is_class() ? nullptr : targets.data());
      if (subject_.made && i == 0) {  // once past all of this program's own conversion
        data::PlainRows plain(manifest_, *task_.input);
        std::vector<std::byte> stored(task_.input->sample_bytes());
        plain.read(order[0], 1, stored.data());
        for (std::size_t k = 0; k < row.size(); ++k) 
            row[k] = static_cast<float>(std::to_integer<int>(stored[k]));
      }
      for (std::int64_t k = 0; k < values; ++k)
        if (!same_bits(input_[static_cast<std::size_t>(i * values + k)],
                       row[static_cast<std::size_t>(k)]))
          return fmt::format("sample {} of lane {} is not row {} of split '{}'", i, lane,
                             order[static_cast<std::size_t>(i)], split.name);
    }
    return {};
  }
  // Token numbers lie in the place of floats.
  static bool same_bits(float a, float b) {
    return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
  }

  const DataSubject& subject_;
  const data::Manifest manifest_;
  const train::Task task_;
  const data::LoaderOptions options_;
  const std::unique_ptr<data::Loader> loader_;
  comm::LaneRange lanes_;
  data::Position at_;
  std::int64_t values_ = 0;  // of a microbatch
  std::vector<float> input_, targets_;
  std::vector<std::int32_t> labels_;
};

}  // namespace

void add_loading(const DataSubject& subject, double raw, Results& results) {
  if (!wanted(subject.request.only, "loader", "")) return;
  comm::Communicator& communicator = subject.communicator;
  train::check_batch(subject.run, prepared(subject));
  Loading loading(subject);
  Row row;
  row.group = "loader";
  row.name = loading.windows();
  const std::string checked = agreed(communicator, loading.check());
  row.verified = loading.compares() ? checked : "-";
  const data::LoaderTimes before = loading.times();
  std::int64_t steps = 0;
  row.time = measure(
      communicator,
      [&] {
        loading.step();
        ++steps;
      },
      {.seconds = subject.request.seconds, .together = true});
  const data::LoaderTimes after = loading.times();
  const double samples = static_cast<double>(loading.batch()) / row.time.median;
  const double mine = static_cast<double>(after.samples - before.samples);
  row.figures = {{"samples", "/s", samples},
                 {"decoded", "B/s", samples * loading.sample_bytes()},
                 {"waited", "part", (after.wait - before.wait) /
                                        (row.time.median * static_cast<double>(steps))}};
  const double stored = static_cast<double>(after.bytes_read - before.bytes_read);
  if (mine > 0 && stored > 0) row.of_ceiling = stored / mine * samples / raw;
  double shared = row.of_ceiling;
  comm::broadcast_value(communicator, shared, communicator.topology().rank_at.front());
  row.of_ceiling = shared;
  results.rows.push_back(std::move(row));
}

}  // namespace lockstep::bench
