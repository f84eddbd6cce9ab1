#include "train/checkpoint_index.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

namespace lockstep::train {
namespace {

using nlohmann::json;

template <class T>
json binary(const std::vector<T>& values) {
  std::vector<std::uint8_t> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return json::binary(std::move(bytes));
}

template <class T>
std::vector<T> from_binary(const json& value) {
  const auto& bytes = value.get_binary();
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace

std::uint64_t CheckpointIndex::data_bytes() const {
  std::uint64_t elements = 0;
  for (const Parameter& p : table.parameters()) elements += static_cast<std::uint64_t>(p.elements);
  return elements * tensors.size() * sizeof(float);
}

std::vector<ByteRange> CheckpointIndex::number_ranges() const {
  std::vector<ByteRange> ranges;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    for (int p = 0; p < table.size(); ++p) {
      if (table[p].elements == 0) continue;
      const std::uint64_t begin = offset(static_cast<int>(t), p);
      ranges.push_back(
          {begin, begin + static_cast<std::uint64_t>(table[p].elements) * sizeof(float)});
    }
  }
  return ranges;
}

std::string dataset_path(const std::string& tensor, const std::string& parameter) {
  return fmt::format("/{}/{}", tensor, parameter);
}

std::string layout_json(const CheckpointIndex& index) {
  json parameters = json::array();
  for (const Parameter& p : index.table.parameters()) {
    parameters.push_back({{"name", p.name},
                          {"shape", std::vector<std::int64_t>(p.shape.begin(), p.shape.end())},
                          {"kind", static_cast<int>(p.kind)}});
  }
  json mesh = json::array();
  for (const comm::MeshAxis& axis : index.mesh)
    mesh.push_back({{"axis", axis.name}, {"size", axis.size}});
  return json{
      {"tensors", index.tensors}, {"mesh", mesh}, {"cut", index.cut}, {"parameters", parameters}}
      .dump();
}

void set_layout(CheckpointIndex& index, const std::string& text) {
  const json layout = json::parse(text);
  index.tensors = layout.at("tensors").get<std::vector<std::string>>();
  index.mesh.clear();
  for (const json& axis : layout.at("mesh"))
    index.mesh.push_back({axis.at("axis"), axis.at("size").get<int>()});
  layout.at("cut").get_to(index.cut);
  index.table = {};
  for (const json& p : layout.at("parameters")) {
    const auto extents = p.at("shape").get<std::vector<std::int64_t>>();
    index.table.add(p.at("name"), Shape(std::span(extents)),
                    static_cast<ParameterKind>(p.at("kind").get<int>()), Init::kZeros);
  }
}

Hash128 hash_of_texts(const CheckpointIndex& index) {
  std::string all;
  for (const std::string& text : {layout_json(index), index.text.resolved_run,
                                  index.text.environment, index.text.description}) {
    all += fmt::format("{}:{}", text.size(), text);
  }
  return hash_bytes(all.data(), all.size());
}

Hash128 hash_from_text(const std::string& text) {
  unsigned long long high = 0, low = 0;
  if (text.size() != 32 || std::sscanf(text.c_str(), "%16llx%16llx", &high, &low) != 2) return {};
  return {low, high};
}

std::string pack(const CheckpointIndex& index) {
  const json all = {
      {"file", index.file.string()},           {"layout", layout_json(index)},
      {"offsets", binary(index.offsets)},      {"hashes", binary(index.hashes)},
      {"integers", index.progress.integers},   {"reals", index.progress.reals},
      {"digest", index.digest.text()},         {"run", index.text.resolved_run},
      {"environment", index.text.environment}, {"description", index.text.description}};
  std::string bytes;
  json::to_cbor(all, bytes);
  return bytes;
}

CheckpointIndex unpack(const std::string& bytes) {
  const json all = json::from_cbor(bytes);
  CheckpointIndex index;
  index.file = all.at("file").get<std::string>();
  set_layout(index, all.at("layout"));
  index.offsets = from_binary<std::uint64_t>(all.at("offsets"));
  index.hashes = from_binary<Hash128>(all.at("hashes"));
  all.at("integers").get_to(index.progress.integers);
  all.at("reals").get_to(index.progress.reals);
  index.digest = hash_from_text(all.at("digest"));
  index.text = {all.at("run"), all.at("environment"), all.at("description")};
  return index;
}

}  // namespace lockstep::train
