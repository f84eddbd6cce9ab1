// Other people's files under mpirun: every rank gets the samples that h5py reads, each once an
// epoch, in an order that does not depend on the number of ranks.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <set>

#include "data/elements.h"
#include "data/selected_rows.h"
#include "foreign.h"
#include "loading.h"

namespace lockstep::data {
namespace {

using namespace testing;

// Made by rank 0 for all.
const fs::path& shared_files() {
  static const fs::path path =
      comm::broadcast_text(world(), world().rank() == 0 ? foreign_files().string() : "");
  return path;
}

struct Case {
  const char *name, *input, *target;
  bool classes;
  const char *input_oracle, *target_oracle;
  Description description;
};

Description in_files(const std::string& path) {
  Description d;
  d.path = {(shared_files() / path).string()};
  return d;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  all.push_back({"deepcam", "data", "number", true, "deepcam.data", "deepcam.number",
                 deepcam(shared_files())});
  all.push_back(
      {"cosmo", "full", "unitPar", false, "cosmo.full", "cosmo.unitPar", cosmo(shared_files())});
  Description groups = in_files("groups/g*.h5");
  groups.fields = {field("image", "/samples/*/image", Layout::kSample),
                   field("label", "/samples/*/label", Layout::kSample)};
  all.push_back({"groups", "image", "label", true, "groups.image", "groups.label", groups});
  all.push_back(
      {"parts", "x", "y", true, "parts.train.x", "parts.train.y", in_files("parts/part-*.h5")});
  Description share = in_files("parts/part-*.h5");
  share.fields = {field("x", "/train/x"), field("y", "/train/y")};
  share.splits = {{.name = "val", .files = {}, .group = "", .fraction = 0.3},
                  {.name = "train", .files = {}, .group = "", .fraction = 0}};
  all.push_back({"share", "x", "y", true, "parts.train.x", "parts.train.y", share});
  all.push_back({"virtual", "x", "y", true, "virtual.x", "", in_files("virtual/all.h5")});
  all.push_back({"links", "x", "y", true, "links.x", "", in_files("links/main.h5")});
  return all;
}

std::vector<float> oracle(const std::string& name, const Field& field, const Split& split) {
  const auto bytes = file_bytes(shared_files() / (name + ".bin"));
  std::vector<float> all(bytes.size() / size_of(field.dtype)), chosen;
  std::vector<double> wide(all.size());
  to_doubles(field.dtype, bytes.data(), static_cast<std::int64_t>(all.size()), wide.data());
  std::transform(wide.begin(), wide.end(), all.begin(),
                 [](double value) { return static_cast<float>(value); });
  if (split.selection.of == 0) return all;
  const auto elements = field.sample.elements();
  for (const std::uint32_t row : selected_rows(split.selection))
    chosen.insert(chosen.end(), all.begin() + row * elements, all.begin() + (row + 1) * elements);
  return chosen;
}

LoaderOptions options_of(const Case& c, const Manifest& manifest) {
  LoaderOptions options;
  options.input = c.input;
  options.target = c.target;
  options.normalise = Normalise::kNone;
  options.target_is_class = c.classes;
  options.classes = manifest.find("train")->find(c.target)->classes;
  options.lanes = 3;
  options.microbatch = 2;
  options.accumulate = 2;
  options.batch = 12;
  options.window = 5;
  return options;
}

struct Batch {
  std::vector<float> input, values;
  std::vector<std::int32_t> labels;
};

class Oracle {
 public:
  Oracle(const Case& c, const Manifest& manifest) : case_(c) {
    const Split& train = *manifest.find("train");
    input_ = oracle(c.input_oracle, *train.find(c.input), train);
    const Field& target = *train.find(c.target);
    if (*c.target_oracle != '\0') target_ = oracle(c.target_oracle, target, train);
    elements_ = static_cast<std::size_t>(train.find(c.input)->sample.elements());
    targets_ = static_cast<std::size_t>(target.sample.elements());
    EXPECT_EQ(input_.size(), elements_ * static_cast<std::size_t>(train.samples)) << c.name;
  }
  Batch room(std::int64_t samples) const {
    const auto n = static_cast<std::size_t>(samples);
    return {std::vector<float>(n * elements_), std::vector<float>(n * targets_),
            std::vector<std::int32_t>(n * targets_)};
  }
  // Bit for bit.
  bool is_row(const Batch& got, std::size_t i, std::int64_t row) const {
    const auto r = static_cast<std::size_t>(row);
    bool same = std::memcmp(got.input.data() + i * elements_, input_.data() + r * elements_,
                            elements_ * sizeof(float)) == 0;
    for (std::size_t t = 0; same && !target_.empty() && t < targets_; ++t)
      same = target_[r * targets_ + t] == (case_.classes
                                               ? static_cast<float>(got.labels[i * targets_ + t])
                                               : got.values[i * targets_ + t]);
    return same;
  }

 private:
  const Case& case_;
  std::vector<float> input_, target_;
  std::size_t elements_ = 0, targets_ = 0;
};

TEST(ForeignRanks, load_each_sample_once_an_epoch_in_one_order_whatever_their_number) {
  for (const Case& c : cases()) {
    const Manifest manifest = read_manifest(world(), c.description);
    const Split& train = *manifest.find("train");
    const LoaderOptions options = options_of(c, manifest);
    const Oracle expected(c, manifest);
    const auto cut = comm::cut_lanes(options.lanes, world().size());
    const comm::LaneRange mine = cut[static_cast<std::size_t>(world().topology().position)];
    const auto loader = make_loader(world(), manifest, options);
    loader->start({&mine, 1}, {});
    const std::int64_t chunk = order_chunk(*train.find(c.input), *train.find(c.target));
    Batch batch = expected.room(options.microbatch);
    for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
      std::vector<std::vector<std::int64_t>> rows;  // by lane: a function of nothing but the seed
      std::set<std::int64_t> once;
      for (std::int64_t lane = 0; lane < options.lanes; ++lane) {
        rows.push_back(lane_order(train.samples, chunk, options, epoch, lane));
        for (const std::int64_t row : rows.back()) EXPECT_TRUE(once.insert(row).second) << c.name;
      }
      EXPECT_EQ(static_cast<std::int64_t>(once.size()), loader->steps_per_epoch() * options.batch);
      for (std::int64_t step = 0; step < loader->steps_per_epoch(); ++step) {
        loader->advance({epoch, step});
        for (std::int64_t lane = mine.begin; lane < mine.end; ++lane)
          for (std::int64_t micro = 0; micro < options.accumulate; ++micro) {
            loader->fill(lane, {epoch, step}, micro, batch.input.data(),
                         c.classes ? batch.labels.data() : nullptr,
                         c.classes ? nullptr : batch.values.data());
            for (std::size_t i = 0; i < 2; ++i) {
              const auto at = static_cast<std::size_t>(step * 4 + micro * 2) + i;
              ASSERT_TRUE(expected.is_row(batch, i, rows[static_cast<std::size_t>(lane)][at]))
                  << c.name << ", epoch " << epoch << ", lane " << lane << ", place " << at;
            }
          }
      }
    }
    world().barrier();
  }
}

TEST(ForeignRanks, row_readers_give_the_rows_of_h5py) {
  for (const Case& c : cases()) {
    const Manifest manifest = read_manifest(world(), c.description);
    const Oracle expected(c, manifest);
    const auto reader = make_row_reader(manifest, options_of(c, manifest));
    for (const std::int64_t at_once : {1, 7}) {
      Batch batch = expected.room(at_once);
      for (std::int64_t first = 0; first + at_once <= reader->samples(); first += at_once) {
        reader->read(first, at_once, batch.input.data(), c.classes ? batch.labels.data() : nullptr,
                     c.classes ? nullptr : batch.values.data());
        for (std::int64_t i = 0; i < at_once; ++i)
          ASSERT_TRUE(expected.is_row(batch, static_cast<std::size_t>(i), first + i)) << c.name;
      }
    }
  }
}

// An error of rank 0 is everybody's, and says the same.
TEST(ForeignRanks, refuse_together) {
  const std::string sentence = refusal([&] { read_manifest(world(), in_files("links/far.h5")); });
  EXPECT_NE(sentence, "");
  EXPECT_EQ(comm::broadcast_text(world(), sentence), sentence);
}

}  // namespace
}  // namespace lockstep::data
