#include "sentencepiece.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <array>
#include <exception>

#include "lockstep/core/error.h"
#include "text_pieces.h"

namespace lockstep::data {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, SentencePiece's sign for a space
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD, for the token "unknown"
constexpr std::int64_t kByteTokens = 257;  // the bytes, and the token for what is unknown
constexpr std::int64_t kMostTokens = 1 << 24;

std::string spaces_for_marks(std::string_view piece) {
  std::string text;
  while (!piece.empty()) {
    const bool mark = piece.starts_with(kSpaceMark);
    text += mark ? ' ' : piece.front();
    piece.remove_prefix(mark ? kSpaceMark.size() : 1);
  }
  return text;
}

// A model that keeps its text exactly (it has a token for each byte, and neither changes characters
// nor puts a space in front, as learn_bpe() makes them) encodes any bytes so that decode(encode(x))
// == x: what the model itself would change goes as bytes. Other models encode as they are.
class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::string& model, const std::string& where) {
    const auto status = processor_.LoadFromSerializedProto(model);
    if (!status.ok() || processor_.GetPieceSize() < 1)
      throw DataError(
          "{} is no SentencePiece model, or a damaged one; give the .model file that its training "
          "wrote, or import the text again",
          where);
    read_pieces();
    exact_ = *std::min_element(byte_tokens_.begin(), byte_tokens_.end()) >= 0;
    for (const std::string_view probe :
         {"a", " a  b \t\n\n c", "A\xEF\xAC\x81\xE2\x91\xA0\r\n", "e\xCC\x81 \xEF\xBC\xA1"}) {
      if (!exact_) break;
      exact_ = processor_text(probe) == probe;
    }
  }

  std::int64_t vocabulary() const override { return processor_.GetPieceSize(); }

  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> tokens;
    for (std::size_t at = 0; at < text.size();) {
      const std::string_view piece = text.substr(at, piece_length(text.substr(at)));
      exact_ ? encode_exactly(piece, tokens) : encode_run(piece, tokens);
      at += piece.size();
    }
    return tokens;
  }

  std::string decode(const std::vector<std::int32_t>& tokens) const override {
    for (const std::int32_t token : tokens)
      LOCKSTEP_CHECK(token >= 0 && token < vocabulary(), "token {} of {}", token, vocabulary());
    if (exact_) return joined(tokens);
    std::string text;
    const auto status = processor_.Decode(tokens, &text);
    LOCKSTEP_CHECK(status.ok(), "{}", status.ToString());
    return text;
  }

 private:
  void read_pieces() {
    byte_tokens_.fill(-1);
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      const std::string& piece = processor_.IdToPiece(id);
      if (processor_.IsByte(id)) {  // "<0x41>"
        const int byte = std::stoi(piece.substr(3, 2), nullptr, 16);
        byte_tokens_[static_cast<std::size_t>(byte)] = id;
        texts_.emplace_back(1, static_cast<char>(byte));
      } else if (processor_.IsControl(id)) {
        texts_.emplace_back();
      } else {
        texts_.push_back(processor_.IsUnknown(id) ? std::string(kReplacement)
                                                  : spaces_for_marks(piece));
      }
    }
  }

  std::string joined(const std::vector<std::int32_t>& tokens) const {
    std::string text;
    for (const std::int32_t token : tokens) text += texts_[static_cast<std::size_t>(token)];
    return text;
  }

  std::string processor_text(std::string_view text) const {
    std::vector<std::int32_t> tokens;
    encode_run(text, tokens);
    return joined(tokens);
  }

  void encode_run(std::string_view run, std::vector<std::int32_t>& tokens) const {
    std::vector<int> ids;
    const auto status = processor_.Encode(run, &ids);
    if (!status.ok())
      throw DataError("SentencePiece cannot encode a text ({}); use another model",
                      status.ToString());
    tokens.insert(tokens.end(), ids.begin(), ids.end());
  }

  void encode_bytes(std::string_view bytes, std::vector<std::int32_t>& tokens) const {
    for (const char byte : bytes)
      tokens.push_back(byte_tokens_[static_cast<unsigned char>(byte)]);
  }

  void encode_exactly(std::string_view piece, std::vector<std::int32_t>& tokens) const {
    while (!piece.empty()) {
      const std::size_t mark = std::min(piece.find(kSpaceMark), piece.size());
      const std::size_t run = first_invalid_utf8(piece.substr(0, mark));
      if (run > 0) {
        const auto before = static_cast<std::ptrdiff_t>(tokens.size());
        encode_run(piece.substr(0, run), tokens);
        if (joined({tokens.begin() + before, tokens.end()}) != piece.substr(0, run)) {
          tokens.erase(tokens.begin() + before, tokens.end());
          encode_bytes(piece.substr(0, run), tokens);
        }
      }
      const std::size_t bytes = run < mark ? 1 : mark < piece.size() ? kSpaceMark.size() : 0;
      encode_bytes(piece.substr(run, bytes), tokens);
      piece.remove_prefix(run + bytes);
    }
  }

  sentencepiece::SentencePieceProcessor processor_;
  std::vector<std::string> texts_;            // of each token
  std::array<std::int32_t, 256> byte_tokens_;  // -1: the model has none
  bool exact_ = false;
};

// Exceptions do not pass through SentencePiece: they wait here.
class Pieces final : public sentencepiece::SentenceIterator {
 public:
  explicit Pieces(const std::function<bool(std::string_view&)>& next) : next_(next) { Next(); }
  bool done() const override { return done_; }
  void Next() override {
    try {
      std::string_view piece;
      done_ = !next_(piece);
      value_ = piece;
    } catch (...) {
      error_ = std::current_exception();
      done_ = true;
    }
  }
  const std::string& value() const override { return value_; }
  sentencepiece::util::Status status() const override { return {}; }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  const std::function<bool(std::string_view&)>& next_;
  std::string value_;
  bool done_ = false;
  std::exception_ptr error_;
};

}  // namespace

std::unique_ptr<Tokenizer> open_sentencepiece(const std::string& model, const std::string& where) {
  return std::make_unique<SentencePieceTokenizer>(model, where);
}

std::string learn_bpe(const std::function<bool(std::string_view&)>& next, std::int64_t vocabulary) {
  if (vocabulary <= kByteTokens || vocabulary > kMostTokens)
    throw UserError(
        "a vocabulary of {} is too {} for byte-pair encoding, where {} tokens are the bytes and the "
        "unknown; give --vocabulary 1000 or so, at most {}",
        vocabulary, vocabulary > kMostTokens ? "large" : "small", kByteTokens, kMostTokens);
  Pieces pieces(next);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      {
          {"model_type", "bpe"},
          {"vocab_size", std::to_string(vocabulary)},
          {"byte_fallback", "true"},
          {"hard_vocab_limit", "false"},  // too little text is told below, in our words
          // The text as it is: no other form of a character, no space added or taken.
          {"normalization_rule_name", "identity"},
          {"add_dummy_prefix", "false"},
          {"remove_extra_whitespaces", "false"},
          {"allow_whitespace_only_pieces", "true"},
          {"max_sentence_length", std::to_string(kMostPieceBytes)},
          {"input_sentence_size", "0"},  // all of it, no sample
          {"num_threads", "1"},
          {"unk_id", "0"},
          {"bos_id", "-1"},
          {"eos_id", "-1"},
          {"pad_id", "-1"},
          {"minloglevel", "9"},
      },
      &pieces, &model);
  pieces.rethrow();
  if (!status.ok()) {
    const std::string reason = status.ToString();
    if (reason.find("smaller than required_chars") != std::string::npos)
      throw UserError(
          "a vocabulary of {} has no room for the characters of this text; give a larger "
          "--vocabulary",
          vocabulary);
    throw UserError("SentencePiece cannot learn from this text ({}); try --tokenizer bytes",
                    reason);
  }
  const std::int64_t learnt = open_sentencepiece(model, "what was learnt")->vocabulary();
  if (learnt < vocabulary)
    throw UserError(
        "the text is too small for a vocabulary of {}: it gives {} tokens; give --vocabulary {} or "
        "less, or more text",
        vocabulary, learnt, learnt);
  return model;
}

}  // namespace lockstep::data
