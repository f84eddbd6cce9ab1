#include "train/data_facts.h"

#include <nlohmann/json.hpp>

#include "lockstep/core/error.h"
#include "train/base64.h"

namespace lockstep::train {

DataFacts facts_of(const Task& task, const data::TokenizerModel& tokenizer) {
  const data::Field& in = *task.input;
  return {in.has_statistics,    in.mean,        in.deviation,   in.minimum, in.maximum,
          task.target->classes, tokenizer.kind, tokenizer.model};
}

std::string facts_json(const DataFacts& f) {
  nlohmann::json json = {{"has_statistics", f.has_statistics},
                         {"mean", f.mean},
                         {"deviation", f.deviation},
                         {"minimum", f.minimum},
                         {"maximum", f.maximum},
                         {"classes", f.classes}};
  if (!f.tokenizer_kind.empty())
    json["tokenizer"] = {{"kind", f.tokenizer_kind}, {"model", base64(f.tokenizer_model)}};
  return json.dump();
}

DataFacts parse_facts(const std::string& text, const std::string& checkpoint) {
  try {
    const auto json = nlohmann::json::parse(text);
    DataFacts facts{json.at("has_statistics"), json.at("mean"),    json.at("deviation"),
                    json.at("minimum"),        json.at("maximum"), json.at("classes"),
                    "",                        ""};
    if (json.contains("tokenizer")) {
      const auto& tokenizer = json["tokenizer"];
      facts.tokenizer_kind = tokenizer.at("kind");
      const auto model = from_base64(tokenizer.at("model").get<std::string>());
      if (!model) throw DataError("{}: the tokenizer that it holds is damaged", checkpoint);
      facts.tokenizer_model = *model;
    }
    return facts;
  } catch (const nlohmann::json::exception&) {
    throw DataError(
        "{} does not say what data its model was trained on; it may come from another version",
        checkpoint);
  }
}

data::TokenizerModel read_tokenizer(comm::Communicator& communicator,
                                    const data::Manifest& manifest) {
  data::TokenizerModel tokenizer;
  if (!is_text(manifest)) return tokenizer;
  communicator.together([&] {
    if (communicator.rank() == 0) tokenizer = data::read_tokenizer(manifest.file);
  });
  tokenizer.kind = comm::broadcast_text(communicator, tokenizer.kind);
  tokenizer.model = comm::broadcast_text(communicator, tokenizer.model);
  return tokenizer;
}

void check_tokenizer(const DataFacts& facts, const data::TokenizerModel& tokenizer,
                     const data::Manifest& manifest) {
  if (facts.tokenizer_kind == tokenizer.kind && facts.tokenizer_model == tokenizer.model) return;
  if (facts.tokenizer_kind.empty())
    throw UserError(
        "{} is text, but the model was trained on other data; name a dataset like its own",
        manifest.file.string());
  if (tokenizer.kind.empty())
    throw UserError(
        "{} is not text, but the model was trained on text; name a dataset like its own",
        manifest.file.string());
  throw UserError(
      "{} was cut into tokens in another way than the text that the model was trained on; import "
      "it with the tokenizer of that dataset",
      manifest.file.string());
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
      if (field.name == target || field.sequence > 0) field.classes = facts.classes;
    }
  }
}

}  // namespace lockstep::train
