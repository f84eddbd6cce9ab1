#include "byte_source.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr unsigned kBufferBytes = 256 << 10;
constexpr std::size_t kMostAtOnce = 1 << 30;  // gzread counts in int

}  // namespace

ByteSource::ByteSource(const std::filesystem::path& path) : path_(path) {
  if (std::filesystem::is_directory(path))
    throw UserError("cannot read {}: it is a folder", path.string());
  errno = 0;
  file_ = gzopen(path.c_str(), "rb");
  if (file_ == nullptr) throw UserError("cannot read {}: {}", path.string(), std::strerror(errno));
  gzbuffer(file_, kBufferBytes);
}

ByteSource::~ByteSource() { gzclose_r(file_); }

std::size_t ByteSource::read(void* out, std::size_t bytes) {
  std::size_t done = 0;
  while (done < bytes) {
    const auto now = static_cast<unsigned>(std::min(bytes - done, kMostAtOnce));
    const int n = gzread(file_, static_cast<char*>(out) + done, now);
    int code = Z_OK;
    const char* reason = gzerror(file_, &code);
    // A stream that ends too early is not an error of gzread's own: only gzerror tells.
    if (n < 0 || (n == 0 && code != Z_OK && code != Z_STREAM_END))
      throw DataError("{}: its gzip stream is damaged or cut short ({}); get the file again",
                      path(), code == Z_ERRNO ? std::strerror(errno) : reason);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

}  // namespace lockstep::data
