#include "described_splits.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "file_list.h"
#include "found.h"
#include "lockstep/core/error.h"
#include "lockstep/data/probe.h"

namespace lockstep::data {
namespace {

constexpr const char* kPathKey = "data.path";

// Names that come twice, and what cannot be said together.
void check(const Description& d) {
  const auto once = [](const auto& list, const char* what) {
    std::set<std::string> names;
    for (const auto& item : list)
      if (!names.insert(item.name).second)
        throw UserError("[[data.{}]] has two tables named \"{}\"", what, item.name);
  };
  once(d.fields, "fields");
  once(d.splits, "splits");
  const auto has_place = [](const FieldDescription& f) {
    return f.path.find("{split}") != std::string::npos;
  };
  const bool place = std::any_of(d.fields.begin(), d.fields.end(), has_place);
  if (place && d.splits.empty())
    throw UserError("a path in [[data.fields]] has {{split}}; name the splits in [[data.splits]]");
  double sum = 0;
  for (const SplitDescription& split : d.splits) {
    if (!split.group.empty() && !place && !d.fields.empty())
      throw UserError("split {} has a group, but no path in [[data.fields]] has {{split}} for it",
                      split.name);
    if (split.fraction > 0 && (place || !split.files.empty() || !split.group.empty()))
      throw UserError(
          "split {} is a fraction of all samples, and is told by files or group, too; keep one",
          split.name);
    sum += split.fraction;
  }
  if (sum > 1 + 1e-9) throw UserError("the fractions of [[data.splits]] add up to {}", sum);
}

// Samples of a split by its own files or group: of the others all share one.
bool has_own_samples(const Description& d, const SplitDescription& split) {
  return !split.files.empty() || !split.group.empty() ||
         std::any_of(d.fields.begin(), d.fields.end(), [](const FieldDescription& f) {
           return f.path.find("{split}") != std::string::npos;
         });
}

// Which split of the file is meant by one that has no fields described.
Split choose(std::vector<Split> found, const std::string& file, const SplitDescription& wanted,
             bool own) {
  std::vector<std::string> names;
  for (const Split& split : found) names.push_back(split.name);
  const auto named = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) - names.begin();
  };
  std::size_t at = names.size();
  if (!wanted.group.empty()) {
    at = static_cast<std::size_t>(named(wanted.group));
  } else if (names.size() == 1) {
    at = 0;
  } else if (own) {
    at = static_cast<std::size_t>(named(wanted.name));
  }
  if (at < names.size()) return std::move(found[at]);
  throw UserError("{} has the groups {}; say {} which of them split {} is made of", file,
                  fmt::join(names, ", "), own ? "with group" : "by a path in [[data.fields]]",
                  wanted.name);
}

// Splits as a description tells them, in its order.
class DescribedSplits {
 public:
  DescribedSplits(const Description& description, FileTable& table)
      : description_(description), table_(table) {
    if (splits_.empty()) splits_ = {{.name = "train", .files = {}, .group = "", .fraction = 0}};
    std::vector<std::filesystem::path> named;
    if (!description.path.empty()) named = expand_files(description.path, kPathKey);
    for (const auto& file : named) all_.push_back(table_.number(file));
    for (const SplitDescription& split : splits_) {
      auto& mine = files_.emplace_back(all_);
      if (split.files.empty()) continue;
      mine.clear();
      for (const auto& file :
           expand_files(split.files, fmt::format("files of split {}", split.name))) {
        mine.push_back(table_.number(file));
        named.push_back(file);
      }
    }
    for (std::size_t s = 0; s < splits_.size(); ++s)
      if (files_[s].empty())
        throw UserError("there are no files for split {}; name them in data.path", splits_[s].name);
    probe(named, description.follow, description.probe);
    reach_.emplace(description.follow, named);
  }

  std::vector<Split> read() {
    std::vector<Split> out;
    for (std::size_t s = 0; s < splits_.size(); ++s) {
      if (has_own_samples(description_, splits_[s])) {
        out.push_back(read_split(s, true));
      } else {
        if (shared_.fields.empty()) shared_ = read_split(s, false);
        out.push_back(shared_);
      }
      out.back().name = splits_[s].name;
    }
    deal(out);
    return out;
  }

 private:
  Split read_split(std::size_t s, bool own) {
    const SplitDescription& split = splits_[s];
    const std::string group = split.group.empty() ? split.name : split.group;
    if (description_.fields.empty())
      return choose(find_splits(files_[s], *reach_, table_), table_.at(files_[s].front()).string(),
                    split, own);
    Split read;
    read.fields = gather_fields(description_.fields, files_[s], group, *reach_, table_);
    read.samples = read.fields.front().count;
    return read;
  }

  // What all share is cut by fractions, in the order of the description; those without one get
  // equal parts of the rest.
  void deal(std::vector<Split>& out) const {
    std::vector<std::size_t> shares;
    double told = 0, untold = 0;
    for (std::size_t s = 0; s < splits_.size(); ++s) {
      if (has_own_samples(description_, splits_[s])) continue;
      shares.push_back(s);
      told += splits_[s].fraction;
      untold += splits_[s].fraction > 0 ? 0 : 1;
    }
    if (shares.empty() || (told == 0 && untold == 1)) return;
    if (told == 0)
      throw UserError(
          "splits {} and {} would have the same samples; give them files, a group or a fraction",
          splits_[shares[0]].name, splits_[shares[1]].name);
    const std::int64_t samples = shared_.samples;
    double sum = 0;
    std::int64_t begin = 0;
    for (const std::size_t s : shares) {
      const double fraction = splits_[s].fraction;
      sum += fraction > 0 ? fraction : (1 - told) / untold;
      const std::int64_t end =
          std::min<std::int64_t>(std::llround(static_cast<double>(samples) * sum), samples);
      if (end <= begin)
        throw UserError("split {} has none of the {} samples; change the fractions",
                        splits_[s].name, samples);
      out[s].selection = {samples, description_.split_seed, begin, end};
      out[s].samples = end - begin;
      for (Field& field : out[s].fields) field.count = end - begin;
      begin = end;
    }
  }

  const Description& description_;
  FileTable& table_;
  std::vector<SplitDescription> splits_ = description_.splits;
  std::vector<std::int32_t> all_;
  std::vector<std::vector<std::int32_t>> files_;  // of each split
  std::optional<Reach> reach_;
  Split shared_;
};

}  // namespace

std::vector<Split> read_described_splits(const Description& description, FileTable& table) {
  check(description);
  return DescribedSplits(description, table).read();
}

}  // namespace lockstep::data
