// IDX files (the format of MNIST): two zero bytes, a type code, the number of dimensions, each
// dimension as 32 bits, then the elements; all big endian.
#include <algorithm>
#include <array>

#include "../codec.h"
#include "../elements.h"
#include "byte_source.h"
#include "lockstep/core/error.h"
#include "source.h"

namespace lockstep::data {
namespace {

class IdxFile {
 public:
  explicit IdxFile(const std::filesystem::path& path) : bytes_(path) {
    std::array<unsigned char, 4> magic{};
    read_header(magic.data(), magic.size());
    const auto type = type_of(magic[2]);
    if (magic[0] != 0 || magic[1] != 0 || !type || magic[3] == 0 || magic[3] > Shape::kMaxRank + 1)
      throw DataError("{} is no IDX file: it begins with {:02x} {:02x} {:02x} {:02x}",
                      bytes_.path(), magic[0], magic[1], magic[2], magic[3]);
    dtype_ = *type;
    for (int i = 0; i < magic[3]; ++i) {
      std::array<unsigned char, 4> b{};
      read_header(b.data(), b.size());
      const std::int64_t extent = std::int64_t{b[0]} << 24 | b[1] << 16 | b[2] << 8 | b[3];
      if (extent == 0)
        throw DataError("{}: dimension {} is 0; the file has no samples", bytes_.path(), i);
      if (i == 0)
        count_ = extent;
      else
        sample_ = sample_.append(extent);
      if (sample_.elements() > kMostElements)
        throw DataError(
            "{}: its header asks for samples of more than {} elements; the file is damaged",
            bytes_.path(), kMostElements);
    }
    row_.resize(static_cast<std::size_t>(sample_.elements()) * size_of(dtype_));
  }

  std::int64_t count() const { return count_; }
  DType dtype() const { return dtype_; }
  const Shape& sample() const { return sample_; }
  std::string path() const { return bytes_.path(); }

  const std::byte* next() {
    const std::size_t n = bytes_.read(row_.data(), row_.size());
    if (n != row_.size())
      throw DataError("{} ends in row {} of {}; get the file again", path(), done_, count_);
    swap_bytes(row_, size_of(dtype_));
    if (++done_ == count_) check_end();
    return row_.data();
  }

 private:
  static constexpr std::int64_t kMostElements = 1 << 28;

  static std::optional<DType> type_of(unsigned char code) {
    switch (code) {
      case 0x08:
        return DType::kU8;
      case 0x09:
        return DType::kI8;
      case 0x0B:
        return DType::kI16;
      case 0x0C:
        return DType::kI32;
      case 0x0D:
        return DType::kF32;
      case 0x0E:
        return DType::kF64;
      default:
        return std::nullopt;
    }
  }
  void read_header(void* out, std::size_t bytes) {
    if (bytes_.read(out, bytes) != bytes)
      throw DataError("{} is no IDX file: it ends inside of its header", bytes_.path());
  }
  void check_end() {
    std::byte more;
    if (bytes_.read(&more, 1) != 0)
      throw DataError("{} has more bytes than the {} rows of its header; get the file again",
                      path(), count_);
  }

  ByteSource bytes_;
  DType dtype_ = DType::kU8;
  std::int64_t count_ = 0, done_ = 0;
  Shape sample_;
  std::vector<std::byte> row_;
};

class IdxPair final : public Source {
 public:
  IdxPair(const std::vector<std::filesystem::path>& files, const char* split, bool classes)
      : images_(named(files, split, 0)),
        labels_(named(files, split, 1)),
        classes_(classes),
        rows_(2) {
    if (labels_.sample().rank() != 0)
      throw DataError(
          "{} has labels of {}, not one number a sample; name the images first, then the "
          "labels",
          labels_.path(), labels_.sample().text());
    if (images_.count() != labels_.count())
      throw DataError("{} has {} samples, but {} has {}", images_.path(), images_.count(),
                      labels_.path(), labels_.count());
  }
  const IdxFile& images() const { return images_; }
  const IdxFile& labels() const { return labels_; }

  std::int64_t samples() const override { return images_.count(); }
  const std::vector<const std::byte*>& next() override {
    rows_ = {images_.next(), labels_.next()};
    double label;
    to_doubles(labels_.dtype(), rows_[1], 1, &label);
    if (classes_ && label < 0)
      throw DataError("{}: row {} has the label {}; classes are numbered from 0", labels_.path(),
                      done_, label);
    ++done_;
    return rows_;
  }

 private:
  static const std::filesystem::path& named(const std::vector<std::filesystem::path>& files,
                                            const char* split, std::size_t which) {
    if (files.size() != 2)
      throw UserError("the {} split of an IDX import needs 2 files, images then labels, not {}",
                      split, files.size());
    return files[which];
  }
  IdxFile images_, labels_;
  bool classes_;
  std::int64_t done_ = 0;
  std::vector<const std::byte*> rows_;
};

}  // namespace

Sources open_idx(const ImportOptions& options) {
  Sources sources;
  auto train = std::make_unique<IdxPair>(options.train, "train", options.target_is_class);
  const IdxFile& images = train->images();
  const IdxFile& labels = train->labels();
  SourceDescription& told = sources.description;
  told.columns = {{"image", images.dtype(), images.sample()}, {"label", labels.dtype(), {}}};
  told.target_is_class = options.target_is_class;
  if (options.target_is_class && is_float(labels.dtype()))
    throw UserError("{} has labels of type {}, which are no classes; import them as numbers",
                    labels.path(), name_of(labels.dtype()));
  if (!options.test.empty()) {
    auto test = std::make_unique<IdxPair>(options.test, "test", options.target_is_class);
    if (test->images().sample() != images.sample() || test->images().dtype() != images.dtype())
      throw DataError("{} has samples of {} {}, but {} of {} {}", test->images().path(),
                      name_of(test->images().dtype()), test->images().sample().text(),
                      images.path(), name_of(images.dtype()), images.sample().text());
    if (test->labels().dtype() != labels.dtype())
      throw DataError("{} has labels of type {}, but {} of {}", test->labels().path(),
                      name_of(test->labels().dtype()), labels.path(), name_of(labels.dtype()));
    sources.test = std::move(test);
  }
  sources.train = std::move(train);
  return sources;
}

}  // namespace lockstep::data
