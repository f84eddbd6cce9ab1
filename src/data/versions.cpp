#include "lockstep/data/versions.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

std::string structure_of(const Split& split) {
  std::string text = fmt::format("{} {}", split.name, split.samples);
  const Selection& s = split.selection;
  if (s.of > 0) text += fmt::format(" ({} to {} of {} by {})", s.begin, s.end, s.of, s.seed);
  return text;
}

std::string structure_of(const Field& field) {
  // Of text the stream counts, not how a run cuts it.
  return fmt::format("{} {} {}", field.name, name_of(field.dtype),
                     field.sequence > 0 ? Shape().text() : field.sample.text());
}

bool is_unchecked(const Field& field) { return field.hashes.empty() && !field.checksummed; }

}  // namespace

std::string dataset_id(const Manifest& manifest) {
  std::string text;
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields) {
      if (field.hash.empty()) return {};
      text += fmt::format("{}\n{}\n{}\n", structure_of(split), structure_of(field), field.hash);
    }
  return text.empty() ? text : hash_bytes(text.data(), text.size()).text();
}

std::string structure_text(const Manifest& manifest) {
  std::string text;
  for (const Split& split : manifest.splits) {
    text += fmt::format("{}{}:", text.empty() ? "" : "; ", structure_of(split));
    for (const Field& field : split.fields) text += " " + structure_of(field);
  }
  return text;
}

std::string unchecked_text(const Manifest& manifest) {
  constexpr std::size_t kNamed = 3;
  std::vector<std::string> found;  // once, though several splits may share a dataset
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields)
      if (is_unchecked(field) && std::ranges::count(found, field.path) == 0)
        found.push_back(field.path);
  if (found.empty()) return {};
  const std::size_t named = std::min(found.size(), kNamed);
  std::string names = fmt::format("{}", fmt::join(found.begin(), found.begin() + named, ", "));
  if (found.size() > named) names += fmt::format(" and {} more", found.size() - named);
  return fmt::format(
      "{}: {} {} neither hashes nor checksums: damaged bytes would not be noticed; `lockstep "
      "inspect --seal` writes hashes",
      manifest.name(), names, found.size() == 1 ? "has" : "have");
}

std::filesystem::path sidecar_of(const std::filesystem::path& file) {
  std::filesystem::path sidecar = file;
  sidecar += ".lockstep.h5";
  return sidecar;
}

}  // namespace lockstep::data
