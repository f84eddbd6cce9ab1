// Text files to a stream of tokens per split, with the tokenizer that made it.
#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "../manifest_json.h"
#include "../manifest_text.h"
#include "../sentencepiece.h"
#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/hash.h"
#include "lockstep/data/tokenizer.h"
#include "made_manifest.h"
#include "progress.h"
#include "source.h"
#include "text_reader.h"

namespace lockstep::data {
namespace {

using nlohmann::json;

constexpr std::array<const char*, 3> kSplits = {"train", "val", "test"};
using Parts = std::array<std::vector<TextPart>, kSplits.size()>;  // of each split

void add_part(std::vector<TextPart>& parts, const std::filesystem::path& file, std::int64_t begin,
              std::int64_t end) {
  if (begin < end) parts.push_back({file, begin, end});
}

double fraction_of(double fraction, const char* name, bool given) {
  if (!(fraction >= 0 && fraction < 1))
    throw UserError("{} is {}; it must be at least 0 and below 1", name, fraction);
  return given ? 0 : fraction;  // files of its own: nothing is taken from the training files
}

// The end of each training file goes to val, then to test, where these have no files of their own.
Parts deal_text(const ImportOptions& options, bool must_be_utf8) {
  const double val = fraction_of(options.val_fraction, "val_fraction", !options.val.empty());
  const double test = fraction_of(options.test_fraction, "test_fraction", !options.test.empty());
  if (val + test >= 1)
    throw UserError("val_fraction {} and test_fraction {} leave no text to train on", val, test);
  Parts parts;
  for (const auto& file : options.train) {
    const std::int64_t bytes = survey_text(file, must_be_utf8);
    const auto cut_at = [&](double fraction) {
      if (fraction <= 0) return bytes;
      const double wanted = static_cast<double>(bytes) * (1 - fraction);
      return find_cut(file, static_cast<std::int64_t>(wanted), bytes);
    };
    const std::int64_t test_begin = cut_at(test);
    const std::int64_t val_begin = std::min(cut_at(val + test), test_begin);
    add_part(parts[0], file, 0, val_begin);
    add_part(parts[1], file, val_begin, test_begin);
    add_part(parts[2], file, test_begin, bytes);
  }
  for (const auto& file : options.val) add_part(parts[1], file, 0, survey_text(file, must_be_utf8));
  for (const auto& file : options.test)
    add_part(parts[2], file, 0, survey_text(file, must_be_utf8));
  if (parts[0].empty())
    throw UserError("{} is too short to take a part of it for another split; give more text",
                    options.train.front().string());
  return parts;
}

TokenizerModel choose_tokenizer(const ImportOptions& options, const std::vector<TextPart>& train) {
  if (options.tokenizer == "bytes") return {"bytes", ""};
  if (options.tokenizer == "bpe") {
    TextReader text(train);
    const auto next = [&](std::string_view& piece) { return text.next(piece); };
    return {"sentencepiece", learn_bpe(next, options.vocabulary)};
  }
  if (!std::filesystem::is_regular_file(options.tokenizer))
    throw UserError(
        "unknown tokenizer \"{}\": it is neither bytes nor bpe, nor the file of a SentencePiece "
        "model",
        options.tokenizer);
  return {"sentencepiece", read_file(options.tokenizer)};
}

DType token_type(std::int64_t vocabulary) {
  if (vocabulary <= 1 << 8) return DType::kU8;
  return vocabulary <= 1 << 16 ? DType::kU16 : DType::kI32;
}

// Tokens as the file's type: little endian, so that the low bytes come first.
void narrow(const std::vector<std::int32_t>& tokens, std::size_t width,
            std::vector<std::byte>& out) {
  out.resize(tokens.size() * width);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    std::memcpy(out.data() + i * width, &tokens[i], width);
}

std::int64_t bytes_of(const std::vector<TextPart>& parts) {
  std::int64_t bytes = 0;
  for (const TextPart& part : parts) bytes += part.end - part.begin;
  return bytes;
}

std::string manifest_of(const ImportOptions& options, const Parts& parts,
                        const TokenizerModel& model, std::int64_t vocabulary,
                        const DatasetWriter& writer, const Written& written) {
  json text;
  for (const auto& split : writer.splits()) {
    const auto which = static_cast<std::size_t>(
        std::find(kSplits.begin(), kSplits.end(), split->name()) - kSplits.begin());
    const std::int64_t bytes = bytes_of(parts[which]);
    text[split->name()] = {
        {"tokens", split->samples()},
        {"bytes", bytes},
        {"bytes_per_token", static_cast<double>(bytes) / static_cast<double>(split->samples())}};
  }
  json tokenizer{{"kind", model.kind}, {"vocabulary", vocabulary}};
  if (!model.model.empty()) {
    tokenizer["model_bytes"] = model.model.size();
    tokenizer["digest"] = hash_bytes(model.model.data(), model.model.size()).text();
  }
  json made = made_of(options, "text");
  made["tokenizer"] = std::filesystem::path(options.tokenizer).filename().string();
  json all{{"fields", {{"tokens", {{"role", "tokens"}, {"classes", vocabulary}}}}},
           {"tokenizer", tokenizer},
           {"text", text},
           {"made", made}};
  tell_splits(written, "tokens", all["fields"]["tokens"]);
  tell_version(written, nullptr, {}, all);
  return dump(all);
}

}  // namespace

void import_text(const ImportOptions& options, const std::function<void(double)>& progress) {
  DatasetWriter writer(options);  // first: a name that is taken is told before the work
  const Parts parts = deal_text(options, options.tokenizer != "bytes");
  const TokenizerModel model = choose_tokenizer(options, parts[0]);
  const auto tokenizer = model.kind == "sentencepiece"
                             ? open_sentencepiece(model.model, options.tokenizer)
                             : make_tokenizer(model);
  const DType type = token_type(tokenizer->vocabulary());
  std::int64_t total = 0;
  for (const auto& split : parts) total += bytes_of(split);
  Progress told(progress, total);
  std::vector<std::byte> rows;
  for (std::size_t i = 0; i < kSplits.size(); ++i) {
    if (parts[i].empty()) continue;
    SplitWriter& split = writer.add_split(
        SplitPlan(kSplits[i], SplitPlan::kGrows, {{"tokens", type, {}}}, options));
    TextReader text(parts[i]);
    for (std::string_view piece; text.next(piece);) {
      narrow(tokenizer->encode(piece), size_of(type), rows);
      split.append_rows(rows.data(), static_cast<std::int64_t>(rows.size() / size_of(type)));
      told.add(static_cast<std::int64_t>(piece.size()));
    }
    split.flush();
    if (split.samples() == 0)
      throw DataError("the tokenizer makes no tokens of the {} split; give another one",
                      kSplits[i]);
  }
  if (!model.model.empty()) writer.add_bytes(kTokenizerDataset, model.model);
  const Written written = what_is_written(writer, nullptr);
  writer.finish(manifest_of(options, parts, model, tokenizer->vocabulary(), writer, written),
                written.hashes);
}

}  // namespace lockstep::data
