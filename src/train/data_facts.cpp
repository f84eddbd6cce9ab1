#include "train/data_facts.h"

#include <nlohmann/json.hpp>

#include "lockstep/core/error.h"

namespace lockstep::train {

DataFacts facts_of(const Task& task) {
  const data::Field& in = *task.input;
  return {in.has_statistics, in.mean, in.deviation, in.minimum, in.maximum, task.target->classes};
}

std::string facts_json(const DataFacts& f) {
  const nlohmann::json json = {{"has_statistics", f.has_statistics},
                               {"mean", f.mean},
                               {"deviation", f.deviation},
                               {"minimum", f.minimum},
                               {"maximum", f.maximum},
                               {"classes", f.classes}};
  return json.dump();
}

DataFacts parse_facts(const std::string& text, const std::string& checkpoint) {
  try {
    const auto json = nlohmann::json::parse(text);
    return {json.at("has_statistics"), json.at("mean"),    json.at("deviation"),
            json.at("minimum"),        json.at("maximum"), json.at("classes")};
  } catch (const nlohmann::json::exception&) {
    throw DataError(
        "{} does not say what data its model was trained on; it may come from another version",
        checkpoint);
  }
}

void impose(const DataFacts& facts, const Run& run, data::Manifest& manifest) {
  for (data::Split& split : manifest.splits) {
    const std::string input =
        data::resolve_field(manifest, split.name, run.data.input, "input").name;
    const std::string target =
        data::resolve_field(manifest, split.name, run.data.target, "target").name;
    for (data::Field& field : split.fields) {
      if (field.name == input) {
        field.has_statistics = facts.has_statistics;
        field.mean = facts.mean;
        field.deviation = facts.deviation;
        field.minimum = facts.minimum;
        field.maximum = facts.maximum;
      }
      if (field.name == target) field.classes = facts.classes;
    }
  }
}

}  // namespace lockstep::train
