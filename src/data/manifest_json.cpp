#include "manifest_json.h"

#include <limits>
#include <span>

namespace lockstep::data {
namespace {

using nlohmann::json;

json shape_json(const Shape& shape) {
  return std::vector<std::int64_t>(shape.begin(), shape.end());
}

Shape shape_from(const json& j) {
  return Shape(std::span<const std::int64_t>(j.get<std::vector<std::int64_t>>()));
}

// JSON has no infinity: what overflowed is null, and read as what is no number.
double number_from(const json& j) {
  return j.is_null() ? std::numeric_limits<double>::quiet_NaN() : j.get<double>();
}

std::vector<double> numbers_from(const json& list) {
  std::vector<double> numbers;
  for (const json& j : list) numbers.push_back(number_from(j));
  return numbers;
}

json transform_json(const Transform& t) {
  json j{{"axes", t.axes},     {"crop", t.crop},      {"crop_random", t.crop_random},
         {"flip", t.flip},     {"log1p", t.log1p},    {"scale", t.scale},
         {"offset", t.offset}, {"one_hot", t.one_hot}};
  if (t.normalise) j["normalise"] = static_cast<int>(*t.normalise);
  return j;
}

Transform transform_from(const json& j) {
  Transform t;
  t.axes = j.at("axes").get<std::vector<int>>();
  t.crop = j.at("crop").get<std::vector<std::int64_t>>();
  t.crop_random = j.at("crop_random");
  t.flip = j.at("flip").get<std::vector<int>>();
  t.log1p = j.at("log1p");
  t.scale = j.at("scale"), t.offset = j.at("offset");
  t.one_hot = j.at("one_hot");
  if (j.contains("normalise")) t.normalise = static_cast<Normalise>(j.at("normalise").get<int>());
  return t;
}

json field_json(const Field& f) {
  json j{{"name", f.name},
         {"path", f.path},
         {"pieces", pieces_json(f.pieces)},
         {"dtype", std::string(name_of(f.dtype))},
         {"sample", shape_json(f.sample)},
         {"count", f.count},
         {"chunk", f.chunk},
         {"role", f.role},
         {"classes", f.classes},
         {"cut", {f.sequence, f.shift}},
         {"checksummed", f.checksummed}};
  if (f.layout != Layout::kRows) j["layout"] = {static_cast<int>(f.layout), f.block};
  if (!(f.transform == Transform())) j["transform"] = transform_json(f.transform);
  if (!f.unit.empty()) j["unit"] = f.unit;
  if (f.figures.known) j["figures"] = figures_json(f.figures);
  if (f.reference.known) j["reference"] = figures_json(f.reference);
  if (!f.hash.empty()) j["hash"] = {f.hash, f.hashes};
  if (!f.centre.empty()) j["normalised"] = {f.centre, f.width};
  return j;
}

Field field_from(const json& j) {
  Field f;
  f.name = j.at("name");
  f.path = j.at("path");
  f.pieces = pieces_from(j.at("pieces"));
  f.dtype = dtype_from(j.at("dtype").get<std::string>());
  f.sample = shape_from(j.at("sample"));
  f.count = j.at("count");
  f.chunk = j.at("chunk");
  f.role = j.at("role");
  f.classes = j.at("classes");
  f.sequence = j.at("cut").at(0), f.shift = j.at("cut").at(1);
  f.checksummed = j.at("checksummed");
  if (j.contains("layout")) {
    f.layout = static_cast<Layout>(j["layout"].at(0).get<int>());
    f.block = j["layout"].at(1).get<std::vector<std::int64_t>>();
  }
  if (j.contains("transform")) f.transform = transform_from(j["transform"]);
  f.unit = j.value("unit", "");
  if (j.contains("figures")) f.figures = figures_from(j["figures"]);
  if (j.contains("reference")) f.reference = figures_from(j["reference"]);
  if (j.contains("hash")) f.hash = j["hash"].at(0), f.hashes = j["hash"].at(1);
  if (j.contains("normalised")) {
    f.centre = j["normalised"].at(0).get<std::vector<double>>();
    f.width = j["normalised"].at(1).get<std::vector<double>>();
  }
  return f;
}

}  // namespace

json figures_json(const Figures& f) {
  json j = json::object();
  if (!f.known) return j;
  j = {{"count", f.count},         {"not_finite", f.not_finite}, {"mean", f.mean},
       {"deviation", f.deviation}, {"minimum", f.minimum},       {"maximum", f.maximum}};
  if (!f.histogram.empty())
    j["histogram"] = {{"low", f.low}, {"high", f.high}, {"counts", f.histogram}};
  if (!f.channel_mean.empty())
    j["channels"] = {{"mean", f.channel_mean}, {"deviation", f.channel_deviation}};
  if (!f.classes.empty()) j["classes"] = f.classes;
  return j;
}

Figures figures_from(const json& j) {
  Figures f;
  if (!j.contains("mean")) return f;
  f.known = true;
  f.count = j.value("count", std::int64_t{0});
  f.not_finite = j.value("not_finite", std::int64_t{0});
  f.mean = number_from(j.at("mean")), f.deviation = number_from(j.at("deviation"));
  f.minimum = j.at("minimum"), f.maximum = j.at("maximum");
  if (j.contains("histogram")) {
    const json& h = j["histogram"];
    f.low = h.at("low"), f.high = h.at("high");
    f.histogram = h.at("counts").get<std::vector<std::int64_t>>();
  }
  if (j.contains("channels")) {
    f.channel_mean = numbers_from(j["channels"].at("mean"));
    f.channel_deviation = numbers_from(j["channels"].at("deviation"));
  }
  if (j.contains("classes")) f.classes = j["classes"].get<std::vector<std::int64_t>>();
  return f;
}

// Pieces that differ in nothing but the file, each in the next one, are one entry with their
// number: a hundred thousand files are one line.
json pieces_json(const std::vector<Piece>& pieces) {
  json list = json::array();
  for (std::size_t i = 0; i < pieces.size();) {
    const Piece& p = pieces[i];
    std::size_t end = i + 1;
    while (end < pieces.size() && pieces[end].path == p.path && pieces[end].first == p.first &&
           pieces[end].samples == p.samples && pieces[end].file == pieces[end - 1].file + 1)
      ++end;
    list.push_back({p.file, p.path, p.first, p.samples});
    if (end - i > 1) list.back().push_back(end - i);
    i = end;
  }
  return list;
}

std::vector<Piece> pieces_from(const json& list) {
  std::vector<Piece> pieces;
  for (const json& j : list) {
    const int together = j.size() > 4 ? j.at(4).get<int>() : 1;
    for (int i = 0; i < together; ++i)
      pieces.push_back({j.at(0).get<std::int32_t>() + i, j.at(1), j.at(2), j.at(3)});
  }
  return pieces;
}

json split_json(const Split& split) {
  json fields = json::array();
  for (const Field& f : split.fields) fields.push_back(field_json(f));
  json j{{"name", split.name}, {"samples", split.samples}, {"fields", fields}};
  const Selection& s = split.selection;
  if (s.of > 0) j["selection"] = {s.of, s.seed, s.begin, s.end};
  return j;
}

Split split_from(const json& j) {
  Split split;
  split.name = j.at("name");
  split.samples = j.at("samples");
  for (const json& f : j.at("fields")) split.fields.push_back(field_from(f));
  if (j.contains("selection")) {
    const json& s = j["selection"];
    split.selection = {s.at(0), s.at(1), s.at(2), s.at(3)};
  }
  return split;
}

std::string dump(const json& j, int indent) {
  return j.dump(indent, ' ', false, json::error_handler_t::replace);
}

}  // namespace lockstep::data
