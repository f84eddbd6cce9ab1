// Builds without SentencePiece.
#include "lockstep/core/error.h"
#include "sentencepiece.h"

namespace lockstep::data {
namespace {

[[noreturn]] void refuse() {
  throw UserError(
      "this build has no SentencePiece, which byte-pair encoding needs; install "
      "libsentencepiece-dev and build again, or import with --tokenizer bytes");
}

}  // namespace

std::unique_ptr<Tokenizer> open_sentencepiece(const std::string&, const std::string&) { refuse(); }

std::string learn_bpe(const std::function<bool(std::string_view&)>&, std::int64_t) { refuse(); }

}  // namespace lockstep::data
