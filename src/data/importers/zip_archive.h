// Members of a zip file (PKWARE APPNOTE 6.3, with zip64), stored or deflated, as .npz files have
// them. Knows nothing of what is in them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "positioned_bytes.h"

namespace lockstep::comm {
class Communicator;
}

namespace lockstep::data {

struct ZipMember {
  std::string name;
  std::uint16_t method = 0;    // 0: stored, 8: deflated
  std::uint32_t checksum = 0;  // CRC-32 of the unpacked bytes
  std::uint64_t packed = 0, bytes = 0, header = 0;
};

class ZipArchive {
 public:
  explicit ZipArchive(const std::filesystem::path& path);  // throws DataError if it is none
  const std::vector<ZipMember>& members() const { return members_; }
  const ZipMember* find(const std::string& name) const;
  const std::string& name() const { return file_->name(); }
  // A deflated member's checksum is compared when its end is reached.
  std::shared_ptr<PositionedBytes> open(const ZipMember& member) const;
  // Of a stored member, which nobody reads to its end: every rank takes a part. Collective.
  void verify(comm::Communicator& communicator, const ZipMember& member) const;

 private:
  std::uint64_t data_of(const ZipMember& member) const;
  void read_directory(std::uint64_t begin, std::uint64_t bytes, std::uint64_t count);
  std::shared_ptr<PlainFile> file_;
  std::vector<ZipMember> members_;
};

}  // namespace lockstep::data
