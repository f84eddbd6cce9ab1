// NumPy's files: .npy, one array each, and .npz, a zip of them.
#include <algorithm>
#include <array>

#include "lockstep/core/error.h"
#include "numpy_header.h"
#include "source.h"
#include "zip_archive.h"

namespace lockstep::data {
namespace {

constexpr std::array kInputMembers{"x",      "X",        "image", "images",  "input",
                                   "inputs", "features", "data",  "x_train", "X_train"};
constexpr std::array kTargetMembers{"y",      "Y",       "label",   "labels",
                                    "target", "targets", "y_train", "Y_train"};
constexpr const char* kTrainEnding = "_train";

class Arrays final : public Source {
 public:
  void add(std::shared_ptr<PositionedBytes> bytes) {
    const ElementLayout layout = read_numpy_header(*bytes);
    arrays_.emplace_back(std::move(bytes), layout);
    if (layout.rows != samples())
      throw DataError("{} has {} samples, but {} has {}", arrays_.front().name(), samples(),
                      arrays_.back().name(), layout.rows);
  }
  SourceField field(std::size_t array, std::string name) const {
    const ElementLayout& layout = arrays_[array].layout();
    return {{std::move(name), layout.dtype, layout.sample}, "", false, {}, {}, ""};
  }
  const std::string& name(std::size_t array) const { return arrays_[array].name(); }
  std::int64_t samples() const override { return arrays_.front().layout().rows; }
  void read(std::span<const std::int64_t> rows, std::span<std::byte* const> fields,
            std::span<std::uint8_t>) override {
    for (std::size_t f = 0; f < arrays_.size(); ++f) arrays_[f].read(rows, fields[f]);
  }
  std::string place(std::int64_t row, std::size_t field) override {
    return fmt::format("{}: row {}", arrays_[field].name(), row);
  }

 private:
  std::vector<ElementRows> arrays_;
};

struct Opened {
  std::unique_ptr<Arrays> arrays = std::make_unique<Arrays>();
  std::vector<SourceField> fields;
};

// The names of the fields, inputs first; "" for no target.
struct Names {
  std::vector<std::string> inputs;
  std::string target;
};

void settle_fields(const ImportOptions& options, const Names& names, Opened& opened) {
  for (std::size_t i = 0; i < names.inputs.size(); ++i)
    opened.fields.push_back(opened.arrays->field(i, names.inputs[i]));
  opened.fields.front().role = "input";
  if (names.target.empty()) return;
  const std::size_t last = names.inputs.size();
  SourceField target = opened.arrays->field(last, names.target);
  settle_target(options, opened.arrays->name(last), target);
  opened.fields.push_back(std::move(target));
}

Opened open_npy(const ImportOptions& options, const std::vector<std::filesystem::path>& files,
                const char* split) {
  if (files.size() > 2)
    throw UserError(
        "the {} split of an npy import is 1 or 2 files, samples and then targets, not {}", split,
        files.size());
  Opened opened;
  for (const auto& file : files) opened.arrays->add(open_bytes(file));
  const char* target = options.target_is_class ? "label" : "target";
  settle_fields(options, {{"x"}, files.size() == 2 ? target : ""}, opened);
  return opened;
}

std::string member_names(const ZipArchive& archive) {
  std::string names;
  for (const ZipMember& member : archive.members()) {
    std::string name = member.name;
    if (name.ends_with(".npy")) name.resize(name.size() - 4);
    names += (names.empty() ? "" : ", ") + name;
  }
  return names;
}

const ZipMember& member_of(const ZipArchive& archive, const std::string& name) {
  const ZipMember* member = archive.find(name + ".npy");
  if (member == nullptr) member = archive.find(name);
  if (member == nullptr)
    throw UserError("{} has no member \"{}\"; it has: {}", archive.name(), name,
                    member_names(archive));
  return *member;
}

template <class List>
std::string first_member(const ZipArchive& archive, const List& list) {
  for (const char* name : list)
    if (archive.find(std::string(name) + ".npy") != nullptr) return name;
  return "";
}

Names choose_members(const ImportOptions& options, const ZipArchive& archive) {
  Names names{options.inputs, options.target};
  if (names.inputs.empty()) {
    const std::string found = first_member(archive, kInputMembers);
    if (found.empty())
      throw UserError("{} has no member of a usual name; name one with --input: {}", archive.name(),
                      member_names(archive));
    names.inputs.push_back(found);
    if (names.target.empty()) names.target = first_member(archive, kTargetMembers);
  }
  return names;
}

std::string without_ending(std::string name) {
  const std::string ending = kTrainEnding;
  if (name.ends_with(ending)) name.resize(name.size() - ending.size());
  return name;
}

Opened open_npz(comm::Communicator& communicator, const ImportOptions& options,
                const ZipArchive& archive, const Names& members) {
  std::vector<std::string> all = members.inputs;
  if (!members.target.empty()) all.push_back(members.target);
  Opened opened;
  communicator.together([&] {
    for (const std::string& name : all) opened.arrays->add(archive.open(member_of(archive, name)));
  });
  for (const std::string& name : all) archive.verify(communicator, member_of(archive, name));
  Names names;
  for (const std::string& name : members.inputs) names.inputs.push_back(without_ending(name));
  names.target = without_ending(members.target);
  settle_fields(options, names, opened);
  return opened;
}

// "x_test" for "x_train", where an archive holds both splits; no inputs if it does not.
Names test_members(const ZipArchive& archive, const Names& train) {
  Names names;
  const auto other = [&](const std::string& name) {
    const std::string plain = without_ending(name);
    const std::string test = plain == name ? "" : plain + "_test";
    return archive.find(test + ".npy") == nullptr ? "" : test;
  };
  for (const std::string& name : train.inputs) names.inputs.push_back(other(name));
  if (!train.target.empty()) names.target = other(train.target);
  const bool all = std::find(names.inputs.begin(), names.inputs.end(), "") == names.inputs.end() &&
                   names.target.empty() == train.target.empty();
  return all ? names : Names{};
}

const std::filesystem::path& one_file(const std::vector<std::filesystem::path>& files,
                                      const char* split) {
  if (files.size() != 1)
    throw UserError("the {} split of an npz import is one file, not {}", split, files.size());
  return files.front();
}

}  // namespace

Sources open_numpy(comm::Communicator& communicator, const ImportOptions& options) {
  Opened train, test;
  if (import_format(options) == "npy") {
    communicator.together([&] {
      train = open_npy(options, options.train, "train");
      if (!options.test.empty()) test = open_npy(options, options.test, "test");
    });
  } else {
    std::unique_ptr<ZipArchive> archive, other;
    Names members;
    communicator.together([&] {
      archive = std::make_unique<ZipArchive>(one_file(options.train, "train"));
      members = choose_members(options, *archive);
      if (!options.test.empty())
        other = std::make_unique<ZipArchive>(one_file(options.test, "test"));
    });
    train = open_npz(communicator, options, *archive, members);
    const Names beside = other ? members : test_members(*archive, members);
    if (!beside.inputs.empty())
      test = open_npz(communicator, options, other ? *other : *archive, beside);
  }
  Sources sources;
  if (!test.fields.empty()) {
    require_same_fields(train.fields, train.arrays->name(0), test.fields, test.arrays->name(0));
    sources.test = std::move(test.arrays);
  }
  sources.description.fields = std::move(train.fields);
  sources.train = std::move(train.arrays);
  return sources;
}

}  // namespace lockstep::data
