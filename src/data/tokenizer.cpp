#include "lockstep/data/tokenizer.h"

#include <nlohmann/json.hpp>

#include "hdf5.h"
#include "importers/text_reader.h"
#include "lockstep/core/error.h"
#include "lockstep/core/hash.h"
#include "manifest_text.h"
#include "sentencepiece.h"

namespace lockstep::data {
namespace {

constexpr std::int64_t kBytes = 256;
constexpr hsize_t kMostModelBytes = 1 << 30;

class ByteTokenizer final : public Tokenizer {
 public:
  std::int64_t vocabulary() const override { return kBytes; }
  std::vector<std::int32_t> encode(std::string_view text) const override {
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    return {bytes, bytes + text.size()};
  }
  std::string decode(const std::vector<std::int32_t>& tokens) const override {
    std::string text;
    for (const std::int32_t token : tokens) {
      LOCKSTEP_CHECK(token >= 0 && token < kBytes, "token {}", token);
      text += static_cast<char>(token);
    }
    return text;
  }
};

std::string read_model(const InputFile& file) {
  Hdf5Lock lock;
  const auto fail = [&](const std::string& why) {
    throw DataError("{}: cannot read its tokenizer, dataset /{} ({}); import the text again",
                    file.path().string(), kTokenizerDataset, why);
  };
  const Handle dataset(H5Dopen2(file.id(), kTokenizerDataset, H5P_DEFAULT), H5Dclose);
  if (!dataset) fail(hdf5_reason());
  const Handle space(H5Dget_space(dataset.get()), H5Sclose);
  hsize_t bytes = 0;
  if (H5Sget_simple_extent_ndims(space.get()) != 1 ||
      H5Sget_simple_extent_dims(space.get(), &bytes, nullptr) < 0 || bytes > kMostModelBytes)
    fail("it is no row of bytes");
  std::string model(bytes, '\0');
  const Handle type = native_type(DType::kU8);
  if (H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, model.data()) < 0)
    fail(hdf5_reason());
  return model;
}

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(const TokenizerModel& model) {
  if (model.kind == "bytes") return std::make_unique<ByteTokenizer>();
  if (model.kind == "sentencepiece") return open_sentencepiece(model.model, "the tokenizer");
  throw DataError("unknown kind of tokenizer \"{}\"; this program knows bytes and sentencepiece",
                  model.kind);
}

TokenizerModel train_bpe(const std::vector<std::filesystem::path>& files, std::int64_t vocabulary) {
  std::vector<TextPart> parts;
  for (const auto& file : files) parts.push_back({file, 0, survey_text(file, true)});
  TextReader text(std::move(parts));
  return {"sentencepiece",
          learn_bpe([&](std::string_view& piece) { return text.next(piece); }, vocabulary)};
}

TokenizerModel read_tokenizer(const std::filesystem::path& dataset) {
  const InputFile file(dataset);
  std::string manifest;
  {
    Hdf5Lock lock;
    manifest = text_attribute(file.id(), kManifestAttribute, dataset.string());
  }
  TokenizerModel tokenizer;
  std::string digest;
  try {
    const auto told = manifest.empty() ? nlohmann::json() : nlohmann::json::parse(manifest);
    if (!told.contains("tokenizer"))
      throw UserError(
          "{} holds no tokenizer: it was not imported from text; name a dataset that "
          "`lockstep import --format text` wrote",
          dataset.string());
    tokenizer.kind = told.at("tokenizer").at("kind");
    digest = told.at("tokenizer").value("digest", "");
  } catch (const nlohmann::json::exception& error) {
    throw DataError("{}: attribute {} is not a manifest ({}); import the file again",
                    dataset.string(), kManifestAttribute, error.what());
  }
  if (digest.empty()) return tokenizer;
  tokenizer.model = read_model(file);
  if (hash_bytes(tokenizer.model.data(), tokenizer.model.size()).text() != digest)
    throw DataError("{}: its tokenizer, dataset /{}, is damaged; import the text again",
                    dataset.string(), kTokenizerDataset);
  return tokenizer;
}

}  // namespace lockstep::data
