// The keys of [[data.fields]] that say what is done to a field's samples.
#include "config/section_tables.h"

namespace lockstep::config {
namespace {

using data::FieldDescription;
using data::Normalise;

Option<FieldDescription> axes_key(const char* name, std::vector<int> data::Transform::*member,
                                  const char* help) {
  Option<FieldDescription> o;
  o.name = name;
  o.help = help;
  o.type = Type::kIntegers;
  o.range = {0, Shape::kMaxRank - 1};
  o.set = [member](FieldDescription& field, const Value& value) {
    const auto& given = std::get<Integers>(value);
    (field.transform.*member).assign(given.begin(), given.end());
  };
  o.get = [member](const FieldDescription& field) -> Value {
    const auto& axes = field.transform.*member;
    return Integers(axes.begin(), axes.end());
  };
  return o;
}

Option<FieldDescription> normalise_key() {
  const Words<Normalise> words = normalise_words();
  Option<FieldDescription> o;
  o.name = "normalise";
  o.help =
      "As data.normalise, for this field. Empty: as that says for the input, none for the target.";
  o.type = Type::kText;
  for (const auto& [word, meaning] : words) o.words.push_back(word);
  o.set = [words](FieldDescription& field, const Value& value) {
    field.transform.normalise.reset();
    for (const auto& [word, meaning] : words)
      if (word == std::get<std::string>(value)) field.transform.normalise = meaning;
  };
  o.get = [words](const FieldDescription& field) -> Value {
    for (const auto& [word, meaning] : words)
      if (field.transform.normalise == meaning) return word;
    return std::string();
  };
  return o;
}

}  // namespace

Words<Normalise> normalise_words() {
  return {{"none", Normalise::kNone},
          {"unit", Normalise::kUnit},
          {"standard", Normalise::kStandard},
          {"channel", Normalise::kChannel}};
}

void add_transform_keys(std::vector<Option<FieldDescription>>& t) {
  const auto key = [](std::string name, auto at, std::string help) {
    return option<FieldDescription>(std::move(name), at, std::move(help));
  };
  t.push_back(axes_key("axes", &data::Transform::axes,
                       "Order of a sample's axes: the first is the stored axis axes[0], and so on. "
                       "Empty: as stored."));
  t.push_back(key("crop", AT(transform.crop),
                  "How much is left of each axis, of the first ones: the centre. Empty: all.")
                  .at_least(1));
  t.push_back(key("crop_random", AT(transform.crop_random),
                  "While training, crop at a random place, the same for all fields."));
  t.push_back(axes_key("flip", &data::Transform::flip,
                       "Axes along which every other sample is mirrored while training, all fields "
                       "alike."));
  t.push_back(key("log1p", AT(transform.log1p), "x becomes log(1 + x)."));
  t.push_back(key("scale", AT(transform.scale), "x becomes x * scale + offset."));
  t.push_back(key("offset", AT(transform.offset), "See scale."));
  t.push_back(normalise_key());
  t.push_back(key("one_hot", AT(transform.one_hot),
                  "Of a field of class numbers: so many numbers each, of which that one is 1. 0: "
                  "the number.")
                  .at_least(0));
}

}  // namespace lockstep::config
