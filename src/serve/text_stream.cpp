#include "serve/text_stream.h"

#include <utility>

#include "serve/utf8.h"

namespace lockstep::serve {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// End of what later tokens cannot change: a decoder may give U+FFFD for the bytes of a character
// whose last ones are still to come.
std::size_t certain_end(std::string_view text) {
  std::size_t end = text.size() - utf8_unfinished(text);
  for (int i = 0; i < 3 && text.substr(0, end).ends_with(kReplacement); ++i)
    end -= kReplacement.size();
  return end;
}

}  // namespace

TextStream::TextStream(const data::Tokenizer& tokenizer, std::vector<std::int32_t> prompt)
    : tokenizer_(tokenizer), tokens_(std::move(prompt)), taken_(tokenizer.decode(tokens_).size()) {}

std::string TextStream::take(const std::string& text, std::size_t end) {
  if (end <= taken_) return "";
  const std::string part = text.substr(taken_, end - taken_);
  taken_ = end;
  return utf8_cleaned(part);
}

std::string TextStream::push(std::int32_t token) {
  tokens_.push_back(token);
  const std::string text = tokenizer_.decode(tokens_);
  return take(text, certain_end(text));
}

std::string TextStream::finish() {
  const std::string text = tokenizer_.decode(tokens_);
  return take(text, text.size());
}

}  // namespace lockstep::serve
