#include "train/data_facts.h"

#include <nlohmann/json.hpp>

#include "lockstep/core/error.h"
#include "lockstep/data/normalisation.h"
#include "lockstep/data/versions.h"
#include "train/base64.h"

namespace lockstep::train {

DataFacts facts_of(const Task& task, const data::TokenizerModel& tokenizer) {
  const data::Figures& in = task.input->reference;
  DataFacts facts{in.known,
                  in.mean,
                  in.deviation,
                  in.minimum,
                  in.maximum,
                  task.target->classes,
                  tokenizer.kind,
                  tokenizer.model,
                  task.input->centre,
                  task.input->width,
                  {}};
  const data::Field& target = *task.target;
  const data::Figures& of = target.reference;
  if (data::normalise_of(target, data::Normalise::kNone) != data::Normalise::kNone)
    facts.target = {of.known,   of.mean,       of.deviation, of.minimum,
                    of.maximum, target.centre, target.width};
  return facts;
}

DataVersion version_of(const data::Manifest& manifest) {
  return {manifest.id, data::structure_text(manifest)};
}

std::string other_data(const DataVersion& stored, const DataVersion& now) {
  if (stored.structure.empty() || (!stored.id.empty() && stored.id == now.id)) return {};
  if (!stored.id.empty() && !now.id.empty())
    return fmt::format("its data have the id {}, and that of the checkpoint's is {}", now.id,
                       stored.id);
  if (stored.structure == now.structure) return {};
  return fmt::format("its data are {}, and the checkpoint's were {}", now.structure,
                     stored.structure);
}

std::string facts_json(const DataFacts& f, const DataVersion& version) {
  nlohmann::json json = {{"has_statistics", f.has_statistics},
                         {"mean", f.mean},
                         {"deviation", f.deviation},
                         {"minimum", f.minimum},
                         {"maximum", f.maximum},
                         {"classes", f.classes}};
  if (!version.structure.empty())
    json["data"] = {{"id", version.id}, {"structure", version.structure}};
  if (!f.centre.empty()) json["centre"] = f.centre, json["width"] = f.width;
  if (!(f.target == NormalFacts()))
    json["target"] = {{"has_statistics", f.target.has_statistics},
                      {"mean", f.target.mean},
                      {"deviation", f.target.deviation},
                      {"minimum", f.target.minimum},
                      {"maximum", f.target.maximum},
                      {"centre", f.target.centre},
                      {"width", f.target.width}};
  if (!f.tokenizer_kind.empty())
    json["tokenizer"] = {{"kind", f.tokenizer_kind}, {"model", base64(f.tokenizer_model)}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

DataFacts parse_facts(const std::string& text, const std::string& checkpoint) {
  try {
    const auto json = nlohmann::json::parse(text);
    DataFacts facts{json.at("has_statistics"),
                    json.at("mean"),
                    json.at("deviation"),
                    json.at("minimum"),
                    json.at("maximum"),
                    json.at("classes"),
                    "",
                    "",
                    {},
                    {},
                    {}};
    facts.centre = json.value("centre", facts.centre);
    facts.width = json.value("width", facts.width);
    if (json.contains("target")) {
      const auto& t = json["target"];
      facts.target = {t.at("has_statistics"), t.at("mean"),   t.at("deviation"), t.at("minimum"),
                      t.at("maximum"),        t.at("centre"), t.at("width")};
    }
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

DataVersion parse_version(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("data")) return {};
  return {json["data"].value("id", ""), json["data"].value("structure", "")};
}

data::TokenizerModel read_tokenizer(comm::Communicator& communicator,
                                    const data::Manifest& manifest) {
  data::TokenizerModel tokenizer;
  // A foreign file of token numbers trains as any other; only `lockstep generate` needs their text.
  if (!is_text(manifest) || manifest.text.empty()) return tokenizer;
  communicator.together([&] {
    if (communicator.rank() == 0) tokenizer = data::read_tokenizer(manifest.files.front());
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
        manifest.name());
  if (tokenizer.kind.empty())
    throw UserError(
        "{} is not text, but the model was trained on text; name a dataset like its own",
        manifest.name());
  throw UserError(
      "{} was cut into tokens in another way than the text that the model was trained on; import "
      "it with the tokenizer of that dataset",
      manifest.name());
}

namespace {

void impose(const NormalFacts& facts, data::Field& field) {
  field.reference = {};
  field.reference.known = facts.has_statistics;
  field.reference.mean = facts.mean;
  field.reference.deviation = facts.deviation;
  field.reference.minimum = facts.minimum;
  field.reference.maximum = facts.maximum;
  field.centre = facts.centre;
  field.width = facts.width;
}

}  // namespace

void impose(const DataFacts& facts, const Run& run, data::Manifest& manifest) {
  for (data::Split& split : manifest.splits) {
    const std::string input =
        data::resolve_field(manifest, split.name, run.data.input, "input").name;
    const std::string target =
        data::resolve_field(manifest, split.name, run.data.target, "target").name;
    for (data::Field& field : split.fields) {
      if (field.name == input)
        impose({facts.has_statistics, facts.mean, facts.deviation, facts.minimum, facts.maximum,
                facts.centre, facts.width},
               field);
      if (field.name == target && !(facts.target == NormalFacts())) impose(facts.target, field);
      if (field.name == target || field.sequence > 0) field.classes = facts.classes;
    }
  }
}

}  // namespace lockstep::train
