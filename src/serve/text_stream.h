// The text of a growing list of tokens, handed out in whole characters: a character may be spread
// over several tokens, and what a token is as text can depend on those before it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/data/tokenizer.h"

namespace lockstep::serve {

class TextStream {
 public:
  // The text starts behind these tokens.
  TextStream(const data::Tokenizer& tokenizer, std::vector<std::int32_t> prompt);

  std::string push(std::int32_t token);  // what is certain now and was not before
  std::string finish();                  // what is left; broken characters are replaced

 private:
  std::string take(const std::string& text, std::size_t end);

  const data::Tokenizer& tokenizer_;
  std::vector<std::int32_t> tokens_;
  std::size_t taken_ = 0;  // bytes of the text of tokens_
};

}  // namespace lockstep::serve
