#include "lockstep/core/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/half.h"
#include "safetensors_header.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "the format is little endian");

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMostHeaderBytes = 100'000'000;  // the format's own limit
constexpr std::size_t kBlockBytes = 1 << 20;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Elements at any alignment: a header may have any length.
template <class Bits, class Convert>
void convert(const std::byte* elements, std::size_t count, float* out, const Convert& to_float) {
  for (std::size_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, elements + i * sizeof bits, sizeof bits);
    out[i] = to_float(bits);
  }
}

bool is_float(const std::string& dtype) {
  return dtype == "F32" || dtype == "F16" || dtype == "BF16" || dtype == "F64";
}

void to_floats(const std::string& dtype, const std::byte* elements, std::size_t count,
               float* out) {
  if (dtype == "F32")
    std::memcpy(out, elements, count * sizeof(float));
  else if (dtype == "BF16")
    convert<std::uint16_t>(elements, count, out, bfloat16_to_float);
  else if (dtype == "F16")
    convert<std::uint16_t>(elements, count, out, half_to_float);
  else
    convert<double>(elements, count, out, [](double v) { return static_cast<float>(v); });
}

}  // namespace

struct SafeTensorsReader::Impl {
  explicit Impl(const fs::path& path)
      : file(path.string()), descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor.get() < 0)
      throw UserError("cannot open {}: {}; name a safetensors file", file, std::strerror(errno));
    struct stat status;
    if (::fstat(descriptor.get(), &status) != 0 || !S_ISREG(status.st_mode))
      throw UserError("cannot read {}: it is no plain file; name a safetensors file", file);
    const auto bytes = static_cast<std::uint64_t>(status.st_size);
    std::uint64_t length = 0;
    if (bytes >= kLengthBytes) read_at(0, &length, kLengthBytes);
    if (bytes < kLengthBytes || length > bytes - kLengthBytes || length > kMostHeaderBytes)
      throw DataError(
          "{} is no safetensors file, or one that was cut short: of its {} bytes the header would "
          "be {}; get it again",
          file, bytes, length);
    std::string text(length, '\0');
    read_at(kLengthBytes, text.data(), text.size());
    data_at = kLengthBytes + length;
    header = parse_safetensors_header(text, bytes - data_at, file);
    for (std::size_t i = 0; i < header.tensors.size(); ++i) place_of[header.tensors[i].name] = i;
  }

  void read_at(std::uint64_t offset, void* out, std::size_t bytes) const {
    auto* to = static_cast<std::byte*>(out);
    while (bytes > 0) {
      const ssize_t n = ::pread(descriptor.get(), to, bytes, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0)
        throw DataError("cannot read {} at byte {}: {}", file, offset,
                        n < 0 ? std::strerror(errno) : "the file ends too early");
      to += n;
      offset += static_cast<std::uint64_t>(n);
      bytes -= static_cast<std::size_t>(n);
    }
  }

  std::string file;
  Descriptor descriptor;
  std::uint64_t data_at = 0;
  SafeTensorsHeader header;
  std::map<std::string, std::size_t> place_of;
};

SafeTensorsReader::SafeTensorsReader(const fs::path& file) : impl_(std::make_unique<Impl>(file)) {}
SafeTensorsReader::~SafeTensorsReader() = default;

const std::vector<SafeTensor>& SafeTensorsReader::tensors() const { return impl_->header.tensors; }

const SafeTensor* SafeTensorsReader::find(const std::string& name) const {
  const auto known = impl_->place_of.find(name);
  return known == impl_->place_of.end() ? nullptr : &impl_->header.tensors[known->second];
}

const std::map<std::string, std::string>& SafeTensorsReader::metadata() const {
  return impl_->header.metadata;
}

void SafeTensorsReader::read(const SafeTensor& tensor, std::span<float> out) const {
  const std::size_t place = impl_->place_of.at(tensor.name);
  const SafeTensor& own = impl_->header.tensors[place];
  LOCKSTEP_CHECK(out.size() == static_cast<std::size_t>(own.shape.elements()), "{} of {} elements",
                 own.name, out.size());
  const std::size_t element_bytes = safetensors_element_bytes(own.dtype);
  const std::size_t at_once = kBlockBytes / element_bytes;
  std::vector<std::byte> block(std::min(out.size(), at_once) * element_bytes);
  std::uint64_t at = impl_->data_at + impl_->header.begins[place];
  if (!is_float(own.dtype))
    throw DataError("{}: tensor \"{}\" is {}, but a float (F32, F16, BF16, F64) is needed",
                    impl_->file, own.name, own.dtype);
  for (std::size_t done = 0; done < out.size();) {
    const std::size_t count = std::min(out.size() - done, at_once);
    impl_->read_at(at, block.data(), count * element_bytes);
    to_floats(own.dtype, block.data(), count, out.data() + done);
    done += count;
    at += count * element_bytes;
  }
}

void write_safetensors(const fs::path& file, const std::vector<SafeTensor>& tensors,
                       const std::map<std::string, std::string>& metadata,
                       SafeTensorsSource& source) {
  const std::string header = format_safetensors_header(tensors, metadata);
  const std::uint64_t length = header.size();
  fs::path temporary = file;
  temporary += ".tmp" + std::to_string(::getpid());  // keeps two writers of a name apart
  try {
    const Descriptor out(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (out.get() < 0)
      throw UserError("cannot create {}: {}", temporary.string(), std::strerror(errno));
    write_at(out.get(), &length, sizeof length, 0, temporary);
    write_at(out.get(), header.data(), header.size(), kLengthBytes, temporary);
    std::uint64_t at = kLengthBytes + length;
    std::vector<float> values;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      values.resize(static_cast<std::size_t>(tensors[i].shape.elements()));
      source.values(i, values);
      write_at(out.get(), values.data(), values.size() * sizeof(float), at, temporary);
      at += values.size() * sizeof(float);
    }
    commit_file(temporary, file);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

}  // namespace lockstep
