#include "zip_archive.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr std::uint32_t kEnd = 0x06054b50, kEnd64 = 0x06064b50, kLocator64 = 0x07064b50,
                        kEntry = 0x02014b50, kLocal = 0x04034b50;
constexpr std::size_t kEndBytes = 22, kLocatorBytes = 20, kEnd64Bytes = 56, kEntryBytes = 46,
                      kLocalBytes = 30, kMostComment = 65535;
constexpr std::uint32_t kInExtra = 0xFFFFFFFF;  // the number stands in the zip64 field
constexpr std::size_t kBlockBytes = 1 << 20;

template <class T>
T number(const unsigned char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);  // zip is little endian
  return value;
}

[[noreturn]] void damaged(const std::string& name, const char* why) {
  throw DataError("{}: its zip {}; copy or write the file again", name, why);
}

class StoredMember final : public PositionedBytes {
 public:
  StoredMember(std::string name, std::shared_ptr<PlainFile> file, std::uint64_t begin,
               std::uint64_t bytes)
      : PositionedBytes(std::move(name)), file_(std::move(file)), begin_(begin), bytes_(bytes) {}
  std::size_t read_at(std::uint64_t offset, void* out, std::size_t bytes) override {
    if (offset >= bytes_) return 0;
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, bytes_ - offset));
    return file_->read_at(begin_ + offset, out, most);
  }
  std::optional<std::uint64_t> size() const override { return bytes_; }

 private:
  std::shared_ptr<PlainFile> file_;
  std::uint64_t begin_, bytes_;
};

class DeflatedMember final : public PositionedBytes {
 public:
  DeflatedMember(std::string name, std::shared_ptr<PlainFile> file, std::uint64_t begin,
                 ZipMember member)
      : PositionedBytes(std::move(name)),
        file_(std::move(file)),
        begin_(begin),
        member_(std::move(member)),
        in_(kBlockBytes) {}
  ~DeflatedMember() override {
    if (running_) inflateEnd(&stream_);
  }
  DeflatedMember(const DeflatedMember&) = delete;
  DeflatedMember& operator=(const DeflatedMember&) = delete;

  std::size_t read_at(std::uint64_t offset, void* out, std::size_t bytes) override {
    if (!running_ || offset < at_) restart();
    skipped_.resize(kBlockBytes);
    while (at_ < offset) {
      const auto wanted =
          static_cast<std::size_t>(std::min<std::uint64_t>(offset - at_, kBlockBytes));
      if (inflate_some(skipped_.data(), wanted) < wanted) return 0;
    }
    return inflate_some(out, bytes);
  }
  std::optional<std::uint64_t> size() const override { return member_.bytes; }

 private:
  void restart() {
    if (running_) inflateEnd(&stream_);
    stream_ = {};
    running_ = inflateInit2(&stream_, -MAX_WBITS) == Z_OK;
    LOCKSTEP_CHECK(running_, "zlib cannot start");
    at_ = taken_ = 0;
    checksum_ = 0;
    ended_ = false;
  }

  std::size_t inflate_some(void* out, std::size_t bytes) {
    std::size_t done = 0;
    while (done < bytes && !ended_) {
      if (stream_.avail_in == 0) refill();
      const auto now =
          static_cast<uInt>(std::min<std::size_t>(bytes - done, std::numeric_limits<int>::max()));
      auto* to = static_cast<Bytef*>(out) + done;
      stream_.next_out = to;
      stream_.avail_out = now;
      const int code = inflate(&stream_, Z_NO_FLUSH);
      const uInt made = now - stream_.avail_out;
      checksum_ = static_cast<std::uint32_t>(crc32(checksum_, to, made));
      done += made;
      at_ += made;
      if (code == Z_STREAM_END)
        end();
      else if (code != Z_OK)
        damaged(name(), code == Z_BUF_ERROR ? "member is cut short" : "member is damaged");
      if (at_ > member_.bytes) damaged(name(), "member has more bytes than its directory says");
      // The end of the stream stands behind the last byte.
      if (done == bytes && at_ == member_.bytes && !ended_) finish();
    }
    return done;
  }

  void refill() {
    const auto left = std::min<std::uint64_t>(member_.packed - taken_, in_.size());
    const std::size_t n =
        file_->read_at(begin_ + taken_, in_.data(), static_cast<std::size_t>(left));
    if (n < left) damaged(name(), "member is cut short");
    taken_ += n;
    stream_.next_in = in_.data();
    stream_.avail_in = static_cast<uInt>(n);
  }

  void finish() {
    Bytef more;
    while (!ended_) {
      if (stream_.avail_in == 0) refill();
      stream_.next_out = &more;
      stream_.avail_out = 1;
      const int code = inflate(&stream_, Z_NO_FLUSH);
      if (stream_.avail_out == 0 || (code != Z_OK && code != Z_STREAM_END))
        damaged(name(), "member is damaged");
      if (code == Z_STREAM_END) end();
    }
  }

  void end() {
    ended_ = true;
    if (at_ != member_.bytes) damaged(name(), "member has fewer bytes than its directory says");
    if (checksum_ != member_.checksum) damaged(name(), "member is damaged: its checksum differs");
  }

  std::shared_ptr<PlainFile> file_;
  std::uint64_t begin_;
  ZipMember member_;
  z_stream stream_{};
  bool running_ = false, ended_ = false;
  std::uint64_t at_ = 0, taken_ = 0;  // unpacked and packed bytes
  std::uint32_t checksum_ = 0;
  std::vector<Bytef> in_;
  std::vector<char> skipped_;
};

}  // namespace

ZipArchive::ZipArchive(const std::filesystem::path& path)
    : file_(std::make_shared<PlainFile>(path)) {
  const std::uint64_t size = *file_->size();
  const std::uint64_t tail = std::min<std::uint64_t>(size, kEndBytes + kMostComment);
  std::vector<unsigned char> bytes(static_cast<std::size_t>(tail));
  file_->read_at(size - tail, bytes.data(), bytes.size());
  for (std::size_t at = bytes.size() < kEndBytes ? 0 : bytes.size() - kEndBytes + 1; at-- > 0;) {
    const unsigned char* end = bytes.data() + at;
    if (number<std::uint32_t>(end) != kEnd) continue;
    std::uint64_t count = number<std::uint16_t>(end + 10),
                  directory = number<std::uint32_t>(end + 12),
                  begin = number<std::uint32_t>(end + 16);
    const std::uint64_t place = size - tail + at;
    unsigned char locator[kLocatorBytes], end64[kEnd64Bytes];
    if (place >= kLocatorBytes &&
        file_->read_at(place - kLocatorBytes, locator, kLocatorBytes) == kLocatorBytes &&
        number<std::uint32_t>(locator) == kLocator64) {
      if (file_->read_at(number<std::uint64_t>(locator + 8), end64, kEnd64Bytes) != kEnd64Bytes ||
          number<std::uint32_t>(end64) != kEnd64)
        damaged(file_->name(), "directory is damaged");
      count = number<std::uint64_t>(end64 + 32);
      directory = number<std::uint64_t>(end64 + 40);
      begin = number<std::uint64_t>(end64 + 48);
    }
    if (begin > place || directory > place - begin) damaged(file_->name(), "directory is damaged");
    read_directory(begin, directory, count);
    return;
  }
  throw DataError("{} is no zip file, or cut short: it has no directory; get the file again",
                  file_->name());
}

void ZipArchive::read_directory(std::uint64_t begin, std::uint64_t size, std::uint64_t count) {
  constexpr std::uint64_t kMostBytes = 1 << 28;
  if (size > kMostBytes) damaged(file_->name(), "directory is damaged");
  std::vector<unsigned char> bytes(static_cast<std::size_t>(size));
  if (file_->read_at(begin, bytes.data(), bytes.size()) != bytes.size())
    damaged(file_->name(), "directory is cut short");
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const unsigned char* e = bytes.data() + at;
    if (bytes.size() - at < kEntryBytes || number<std::uint32_t>(e) != kEntry)
      damaged(file_->name(), "directory is damaged");
    const std::size_t name = number<std::uint16_t>(e + 28), extra = number<std::uint16_t>(e + 30),
                      comment = number<std::uint16_t>(e + 32);
    if (bytes.size() - at < kEntryBytes + name + extra + comment)
      damaged(file_->name(), "directory is damaged");
    ZipMember member;
    member.name.assign(reinterpret_cast<const char*>(e + kEntryBytes), name);
    member.method = number<std::uint16_t>(e + 10);
    member.checksum = number<std::uint32_t>(e + 16);
    member.packed = number<std::uint32_t>(e + 20);
    member.bytes = number<std::uint32_t>(e + 24);
    member.header = number<std::uint32_t>(e + 42);
    if ((number<std::uint16_t>(e + 8) & 1) != 0)
      throw DataError("{}: member {} is encrypted; write the file without", file_->name(),
                      member.name);
    const unsigned char *field = e + kEntryBytes + name, *stop = field + extra;
    while (stop - field >= 4) {
      const std::size_t length = number<std::uint16_t>(field + 2);
      const unsigned char *value = field + 4, *next = value + length;
      if (next > stop) break;
      if (number<std::uint16_t>(field) == 1)
        for (std::uint64_t* wide : {&member.bytes, &member.packed, &member.header})
          if (*wide == kInExtra && next - value >= 8)
            *wide = number<std::uint64_t>(value), value += 8;
      field = next;
    }
    members_.push_back(std::move(member));
    at += kEntryBytes + name + extra + comment;
  }
}

const ZipMember* ZipArchive::find(const std::string& name) const {
  for (const ZipMember& member : members_)
    if (member.name == name) return &member;
  return nullptr;
}

std::uint64_t ZipArchive::data_of(const ZipMember& member) const {
  unsigned char local[kLocalBytes];
  const std::uint64_t size = *file_->size();
  if (member.header > size || file_->read_at(member.header, local, kLocalBytes) != kLocalBytes ||
      number<std::uint32_t>(local) != kLocal)
    damaged(file_->name(), "directory leads to no member");
  const std::uint64_t begin = member.header + kLocalBytes + number<std::uint16_t>(local + 26) +
                              number<std::uint16_t>(local + 28);
  if (begin > size || member.packed > size - begin) damaged(file_->name(), "member is cut short");
  return begin;
}

std::shared_ptr<PositionedBytes> ZipArchive::open(const ZipMember& member) const {
  const std::string name = fmt::format("{}, member {}", file_->name(), member.name);
  const std::uint64_t begin = data_of(member);
  if (member.method == 8) return std::make_shared<DeflatedMember>(name, file_, begin, member);
  if (member.method != 0)
    throw DataError("{} is packed by method {}; write it stored or deflated, as numpy does", name,
                    member.method);
  if (member.packed != member.bytes) damaged(name, "directory has two sizes for a stored member");
  return std::make_shared<StoredMember>(name, file_, begin, member.bytes);
}

void ZipArchive::verify(comm::Communicator& communicator, const ZipMember& member) const {
  if (member.method != 0) return;
  const auto cut = [&](int part) {
    return static_cast<std::uint64_t>(static_cast<unsigned __int128>(member.bytes) *
                                      static_cast<unsigned>(part) /
                                      static_cast<unsigned>(communicator.size()));
  };
  const int position = communicator.topology().position;
  struct {
    std::uint64_t bytes = 0, checksum = 0;
  } mine;
  communicator.together([&] {
    const std::uint64_t data = data_of(member), end = cut(position + 1);
    std::vector<Bytef> block(kBlockBytes);
    uLong checksum = crc32(0, nullptr, 0);
    for (std::uint64_t at = cut(position); at < end;) {
      const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(end - at, kBlockBytes));
      if (file_->read_at(data + at, block.data(), now) != now)
        damaged(file_->name(), "member is cut short");
      checksum = crc32(checksum, block.data(), static_cast<uInt>(now));
      at += now;
    }
    mine = {end - cut(position), checksum};
  });
  const auto all = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  uLong checksum = crc32(0, nullptr, 0);
  for (std::size_t at = 0; at < all.size(); at += sizeof mine) {
    auto part = mine;
    std::memcpy(&part, all.data() + at, sizeof part);
    checksum = crc32_combine(checksum, part.checksum, static_cast<z_off_t>(part.bytes));
  }
  if (checksum != member.checksum)
    damaged(fmt::format("{}, member {}", file_->name(), member.name),
            "member is damaged: its checksum differs");
}

}  // namespace lockstep::data
