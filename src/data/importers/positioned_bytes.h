// Bytes of a plain file, of a gzip file or of a zip member, at any place. Reading on is cheap; in a
// packed one going back unpacks it again from its start. Knows no format.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace lockstep::data {

class PositionedBytes {
 public:
  virtual ~PositionedBytes() = default;
  // As many of `bytes` as there are from `offset` on. Throws DataError naming the file if it is
  // damaged or cut short.
  virtual std::size_t read_at(std::uint64_t offset, void* out, std::size_t bytes) = 0;
  virtual std::optional<std::uint64_t> size() const = 0;  // absent: not known before it is unpacked
  const std::string& name() const { return name_; }       // "a.npz, member x.npy"

 protected:
  explicit PositionedBytes(std::string name) : name_(std::move(name)) {}

 private:
  std::string name_;
};

// Throws UserError if there is no such file. A gzip file is told by its first bytes.
std::shared_ptr<PositionedBytes> open_bytes(const std::filesystem::path& path);

// An open plain file.
class PlainFile final : public PositionedBytes {
 public:
  explicit PlainFile(const std::filesystem::path& path);
  ~PlainFile() override;
  PlainFile(const PlainFile&) = delete;
  PlainFile& operator=(const PlainFile&) = delete;
  std::size_t read_at(std::uint64_t offset, void* out, std::size_t bytes) override;
  std::optional<std::uint64_t> size() const override { return size_; }

 private:
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace lockstep::data
