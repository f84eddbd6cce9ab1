// Text to token numbers and back. A tokenizer is a value that fits in a dataset or a checkpoint.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/data/dataset.h"

namespace lockstep::data {

struct TokenizerModel {
  std::string kind;   // "bytes" (token = byte, vocabulary 256) or "sentencepiece"
  std::string model;  // the serialised SentencePiece model; empty for bytes
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::int64_t vocabulary() const = 0;
  virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
  virtual std::string decode(const std::vector<std::int32_t>& tokens) const = 0;
};

// Throws UserError if this build has no SentencePiece and the model needs it, DataError for a
// damaged model.
std::unique_ptr<Tokenizer> make_tokenizer(const TokenizerModel& model);
// Learns byte-pair encoding (Sennrich et al. 2016) from text files; the same files give the same
// model. Throws UserError without SentencePiece or if the text is too small for the vocabulary.
TokenizerModel train_bpe(const std::vector<std::filesystem::path>& files, std::int64_t vocabulary);
// The tokenizer that a dataset was imported with. Throws UserError if the file has none.
TokenizerModel read_tokenizer(const std::filesystem::path& dataset);

}  // namespace lockstep::data
