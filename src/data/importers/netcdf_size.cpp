#include "netcdf_size.h"

#include <algorithm>
#include <array>
#include <vector>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr std::size_t kBlockBytes = 64 << 10;
constexpr std::uint64_t kMostDimensions = 1024;

// The header: big-endian numbers of four or eight bytes, one behind another.
class Header {
 public:
  Header(PositionedBytes& bytes, int version) : bytes_(bytes), version_(version) {}

  std::uint64_t number(std::size_t size) {
    std::uint64_t value = 0;
    for (; size > 0; --size) value = value << 8 | byte();
    return value;
  }
  std::uint64_t count() { return number(version_ == 5 ? 8 : 4); }
  std::uint64_t offset() { return number(version_ == 1 ? 4 : 8); }
  void skip(std::uint64_t bytes) { at_ += bytes + (4 - bytes % 4) % 4; }
  void skip_name() { skip(count()); }
  // The elements of a list: none, or a tag and their number.
  std::uint64_t elements() {
    number(4);
    return count();
  }
  void skip_attributes() {
    for (std::uint64_t left = elements(); left > 0; --left) {
      skip_name();
      const std::uint64_t type = number(4);
      skip(count() * size_of_type(type));
    }
  }
  std::uint64_t size_of_type(std::uint64_t type) const {
    constexpr std::array<std::uint64_t, 12> kSizes{0, 1, 1, 2, 4, 4, 8, 1, 2, 4, 8, 8};
    if (type == 0 || type >= kSizes.size()) damaged("has a type that there is not");
    return kSizes[type];
  }
  [[noreturn]] void damaged(const char* what) const {
    throw DataError("{} is no readable NetCDF file: its header {}; get the file again",
                    bytes_.name(), what);
  }

 private:
  unsigned char byte() {
    if (at_ < begin_ || at_ >= begin_ + filled_) {
      block_.resize(kBlockBytes);
      begin_ = at_;
      filled_ = bytes_.read_at(at_, block_.data(), block_.size());
      if (filled_ == 0) damaged("is cut short");
    }
    return block_[static_cast<std::size_t>(at_++ - begin_)];
  }
  PositionedBytes& bytes_;
  int version_;
  std::vector<unsigned char> block_;
  std::uint64_t at_ = 4, begin_ = 0;  // behind "CDF" and the version
  std::size_t filled_ = 0;
};

struct Extent {
  std::uint64_t begin = 0, bytes = 0;  // of a record variable: in the first record
  bool record = false;
};

std::uint64_t padded(std::uint64_t bytes) { return bytes + (4 - bytes % 4) % 4; }

}  // namespace

void check_netcdf_size(PositionedBytes& bytes) {
  unsigned char magic[4] = {};
  if (bytes.read_at(0, magic, 4) != 4 || magic[0] != 'C' || magic[1] != 'D' || magic[2] != 'F')
    return;
  const int version = magic[3];
  if (version != 1 && version != 2 && version != 5) return;
  Header header(bytes, version);
  const std::uint64_t records = header.count(),
                      streaming = version == 5 ? ~std::uint64_t{0} : 0xFFFFFFFF;
  std::vector<std::uint64_t> dimensions;
  for (std::uint64_t left = header.elements(); left > 0; --left) {
    header.skip_name();
    dimensions.push_back(header.count());
  }
  header.skip_attributes();
  std::vector<Extent> extents;
  for (std::uint64_t left = header.elements(); left > 0; --left) {
    header.skip_name();
    Extent extent{0, 1, false};
    const std::uint64_t rank = header.count();
    if (rank > kMostDimensions) header.damaged("has a variable of too many dimensions");
    for (std::uint64_t d = 0; d < rank; ++d) {
      const std::uint64_t id = header.count();
      if (id >= dimensions.size()) header.damaged("has a dimension that there is not");
      if (d == 0 && dimensions[id] == 0)
        extent.record = true;
      else if (__builtin_mul_overflow(extent.bytes, dimensions[id], &extent.bytes))
        header.damaged("has a variable that is too large");
    }
    header.skip_attributes();
    extent.bytes *= header.size_of_type(header.number(4));
    header.count();  // the size of the variable, which may not fit
    extent.begin = header.offset();
    extents.push_back(extent);
  }
  const auto of_records =
      std::count_if(extents.begin(), extents.end(), [](const Extent& e) { return e.record; });
  std::uint64_t record_bytes = 0, end = 0;
  for (const Extent& e : extents)
    if (e.record) record_bytes += of_records == 1 ? e.bytes : padded(e.bytes);
  for (const Extent& e : extents) {
    if (!e.record)
      end = std::max(end, e.begin + e.bytes);
    else if (records > 0 && records != streaming)
      end = std::max(end, e.begin + (records - 1) * record_bytes + e.bytes);
  }
  if (const std::uint64_t size = bytes.size().value_or(end); size < end)
    throw DataError("{} is cut short: {} of its {} bytes are there; get the file again",
                    bytes.name(), size, end);
}

}  // namespace lockstep::data
