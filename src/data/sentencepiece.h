// The one door to SentencePiece (Kudo, Richardson 2018), where this build has it. Knows no dataset.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "lockstep/data/tokenizer.h"

namespace lockstep::data {

// Throws DataError if the model is damaged, naming `where` it came from.
std::unique_ptr<Tokenizer> open_sentencepiece(const std::string& model, const std::string& where);

// Learns byte-pair encoding from pieces of text (text_pieces.h). next(piece) gives them in turn,
// false at the end; its exceptions are passed on. All pieces are held in memory.
std::string learn_bpe(const std::function<bool(std::string_view&)>& next, std::int64_t vocabulary);

}  // namespace lockstep::data
