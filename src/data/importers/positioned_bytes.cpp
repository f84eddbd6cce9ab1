#include "positioned_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "byte_source.h"
#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr std::size_t kSkipBytes = 256 << 10;

class GzipFile final : public PositionedBytes {
 public:
  explicit GzipFile(const std::filesystem::path& path)
      : PositionedBytes(path.string()), path_(path) {}

  std::size_t read_at(std::uint64_t offset, void* out, std::size_t bytes) override {
    if (!source_ || offset < at_) {
      source_ = std::make_unique<ByteSource>(path_);
      at_ = 0;
    }
    skipped_.resize(kSkipBytes);
    while (at_ < offset) {
      const auto wanted =
          static_cast<std::size_t>(std::min<std::uint64_t>(offset - at_, kSkipBytes));
      const std::size_t n = source_->read(skipped_.data(), wanted);
      at_ += n;
      if (n < wanted) return 0;
    }
    const std::size_t n = source_->read(out, bytes);
    at_ += n;
    return n;
  }
  std::optional<std::uint64_t> size() const override { return std::nullopt; }

 private:
  std::filesystem::path path_;
  std::unique_ptr<ByteSource> source_;
  std::uint64_t at_ = 0;
  std::vector<char> skipped_;
};

}  // namespace

PlainFile::PlainFile(const std::filesystem::path& path) : PositionedBytes(path.string()) {
  if (std::filesystem::is_directory(path))
    throw UserError("cannot read {}: it is a folder", path.string());
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &info) != 0) {
    const std::string reason = std::strerror(errno);
    if (descriptor_ >= 0) ::close(descriptor_);
    throw UserError("cannot read {}: {}", path.string(), reason);
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
}

PlainFile::~PlainFile() { ::close(descriptor_); }

std::size_t PlainFile::read_at(std::uint64_t offset, void* out, std::size_t bytes) {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t n = ::pread(descriptor_, static_cast<char*>(out) + done, bytes - done,
                              static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      throw DataError("cannot read {} at byte {}: {}", name(), offset + done, std::strerror(errno));
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

std::shared_ptr<PositionedBytes> open_bytes(const std::filesystem::path& path) {
  auto plain = std::make_shared<PlainFile>(path);
  unsigned char magic[2] = {};
  if (plain->read_at(0, magic, 2) == 2 && magic[0] == 0x1F && magic[1] == 0x8B)
    return std::make_shared<GzipFile>(path);
  return plain;
}

}  // namespace lockstep::data
