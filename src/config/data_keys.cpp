#include <algorithm>

#include "config/options.h"
#include "config/section_tables.h"

namespace lockstep::config {

const std::vector<Option<data::FieldDescription>>& field_keys() {
  using data::FieldDescription;
  using data::Layout;
  static const std::vector<Option<FieldDescription>> all = [] {
    const auto text = [](std::string name, auto at, std::string help) {
      return option<FieldDescription>(std::move(name), at, std::move(help));
    };
    std::vector<Option<FieldDescription>> t;
    t.push_back(
        text("name", AT(name), "What data.input and data.target call it.").not_empty().needed());
    t.push_back(text("path", AT(path),
                     "HDF5 dataset, /climate/data. * stands for any name: each match is a piece of "
                     "the field, in order of names. {split} stands for the group of the split.")
                    .not_empty()
                    .needed());
    t.push_back(choice<FieldDescription>(
        "layout", AT(layout),
        Words<Layout>{
            {"rows", Layout::kRows}, {"sample", Layout::kSample}, {"blocks", Layout::kBlocks}},
        "What a dataset holds: rows, each a sample; one sample, which stands for all samples that "
        "other fields have beside it; a volume that is cut into blocks."));
    t.push_back(
        text("block", AT(block), "Extents of a block along the first axes, which they must divide.")
            .at_least(1)
            .not_empty()
            .needed({"blocks"})
            .only("layout", {"blocks"}));
    t.push_back(text("role", AT(role), "What the field is to a model. Empty: see its name.")
                    .one_of({"input", "target", "tokens"}));
    t.push_back(text("unit", AT(unit),
                     "Unit of its values. Empty: the dataset's attribute unit or units."));
    add_transform_keys(t);
    return t;
  }();
  return all;
}

const std::vector<Option<data::SplitDescription>>& split_keys() {
  using data::SplitDescription;
  static const std::vector<Option<SplitDescription>> all = [] {
    const auto key = [](std::string name, auto at, std::string help) {
      return option<SplitDescription>(std::move(name), at, std::move(help));
    };
    std::vector<Option<SplitDescription>> t;
    t.push_back(key("name", AT(name), "What data.train, data.val and data.test call it.")
                    .not_empty()
                    .needed());
    t.push_back(key("files", AT(files), "Its files: names or globs. Empty: those of data.path.")
                    .or_one_text());
    t.push_back(key("group", AT(group), "Stands for {split} in the paths of fields. Empty: name."));
    t.push_back(key("fraction", AT(fraction),
                    "Share of all samples, chosen by data.split_seed. 0: the rest of them, where "
                    "other splits have a share.")
                    .in({0, 1, false, true}));
    return t;
  }();
  return all;
}

const std::vector<std::string>& list_names() {
  static const std::vector<std::string> all{"model.layers", "data.fields", "data.splits"};
  return all;
}

bool is_list(const std::string& name) { return std::ranges::count(list_names(), name) > 0; }

}  // namespace lockstep::config
