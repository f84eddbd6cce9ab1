#include "text_reader.h"

#include <algorithm>
#include <cstring>

#include "../text_pieces.h"
#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr std::size_t kBlockBytes = 1 << 20;
constexpr std::size_t kMostCharacterBytes = 4;

// visit(offset of the block, block): its return value says whether to go on.
template <class Visit>
void scan_bytes(const std::filesystem::path& file, const Visit& visit) {
  ByteSource source(file);
  std::vector<char> block(kBlockBytes);
  std::int64_t offset = 0;
  while (const std::size_t n = source.read(block.data(), block.size())) {
    if (!visit(offset, std::string_view(block.data(), n))) return;
    offset += static_cast<std::int64_t>(n);
  }
}

[[noreturn]] void refuse(const std::filesystem::path& file, std::int64_t offset) {
  throw DataError(
      "{} is no UTF-8 at byte {}; mend or convert the file, or import with --tokenizer bytes",
      file.string(), offset);
}

}  // namespace

std::int64_t survey_text(const std::filesystem::path& file, bool must_be_utf8) {
  // It is read more than once.
  if (std::filesystem::exists(file) && !std::filesystem::is_regular_file(file) &&
      !std::filesystem::is_directory(file))
    throw UserError("cannot read {}: text comes from a plain file", file.string());
  std::int64_t bytes = 0;
  std::string rest;  // the beginning of a character that the next block ends
  scan_bytes(file, [&](std::int64_t offset, std::string_view block) {
    bytes += static_cast<std::int64_t>(block.size());
    if (!must_be_utf8) return true;
    const std::size_t carried = rest.size();
    rest += block;
    const std::size_t bad = first_invalid_utf8(rest);
    const std::int64_t at = offset + static_cast<std::int64_t>(bad) -
                            static_cast<std::int64_t>(carried);
    if (rest.size() - bad >= kMostCharacterBytes) refuse(file, at);
    rest.erase(0, bad);
    return true;
  });
  if (!rest.empty()) refuse(file, bytes - static_cast<std::int64_t>(rest.size()));
  if (bytes == 0)
    throw DataError("{} is empty; leave it out, or give a file with text", file.string());
  return bytes;
}

std::int64_t find_cut(const std::filesystem::path& file, std::int64_t wanted, std::int64_t bytes) {
  if (wanted <= 0) return 0;
  if (wanted >= bytes) return bytes;
  std::int64_t before = 0, after = -1, character = -1;
  scan_bytes(file, [&](std::int64_t offset, std::string_view block) {
    for (std::size_t i = 0; i < block.size(); ++i) {
      const std::int64_t here = offset + static_cast<std::int64_t>(i);
      if (character < 0 && here >= wanted && (static_cast<unsigned char>(block[i]) & 0xC0) != 0x80)
        character = here;
      if (block[i] != '\n') continue;
      (here + 1 >= wanted ? after : before) = here + 1;
      if (after >= 0) return false;
    }
    return true;
  });
  if (after >= 0 && after < bytes) return after;
  if (before > 0) return before;
  return character >= 0 ? character : bytes;
}

void TextReader::open() {
  const TextPart& part = parts_[part_];
  bytes_ = std::make_unique<ByteSource>(part.file);
  buffer_.resize(kBlockBytes);
  for (std::int64_t skipped = 0; skipped < part.begin;) {
    const auto now = std::min(part.begin - skipped, static_cast<std::int64_t>(kBlockBytes));
    bytes_->read(buffer_.data(), static_cast<std::size_t>(now));
    skipped += now;
  }
  left_ = part.end - part.begin;
  at_ = filled_ = 0;
}

void TextReader::fill() {
  std::memmove(buffer_.data(), buffer_.data() + at_, filled_ - at_);
  filled_ -= at_;
  at_ = 0;
  const auto wanted = static_cast<std::size_t>(
      std::min(left_, static_cast<std::int64_t>(buffer_.size() - filled_)));
  if (bytes_->read(buffer_.data() + filled_, wanted) != wanted)
    throw DataError("{} changed while it was imported", bytes_->path());
  filled_ += wanted;
  left_ -= static_cast<std::int64_t>(wanted);
}

bool TextReader::next(std::string_view& piece) {
  while (part_ < parts_.size()) {
    if (!bytes_) open();
    if (filled_ - at_ <= kMostPieceBytes && left_ > 0) fill();
    if (at_ < filled_) {
      const std::string_view text(buffer_.data() + at_, filled_ - at_);
      piece = text.substr(0, piece_length(text));
      at_ += piece.size();
      return true;
    }
    bytes_.reset();
    ++part_;
  }
  return false;
}

}  // namespace lockstep::data
