// IDX files (the format of MNIST): two zero bytes, a type code, the number of dimensions, each
// dimension as 32 bits, then the elements; all big endian.
#include <array>

#include "element_rows.h"
#include "lockstep/core/error.h"
#include "source.h"

namespace lockstep::data {
namespace {

constexpr std::int64_t kMostElements = 1 << 28;

std::optional<DType> type_of(unsigned char code) {
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

ElementRows open_file(const std::filesystem::path& path) {
  auto bytes = open_bytes(path);
  ElementLayout layout;
  layout.big_endian = true;
  const auto read_header = [&](void* out, std::size_t size) {
    if (bytes->read_at(layout.begin, out, size) != size)
      throw DataError("{} is no IDX file: it ends inside of its header", bytes->name());
    layout.begin += size;
  };
  std::array<unsigned char, 4> magic{};
  read_header(magic.data(), magic.size());
  const auto type = type_of(magic[2]);
  if (magic[0] != 0 || magic[1] != 0 || !type || magic[3] == 0 || magic[3] > Shape::kMaxRank)
    throw DataError("{} is no IDX file: it begins with {:02x} {:02x} {:02x} {:02x}", bytes->name(),
                    magic[0], magic[1], magic[2], magic[3]);
  layout.dtype = *type;
  for (int i = 0; i < magic[3]; ++i) {
    std::array<unsigned char, 4> b{};
    read_header(b.data(), b.size());
    const std::int64_t extent = std::int64_t{b[0]} << 24 | b[1] << 16 | b[2] << 8 | b[3];
    if (extent == 0)
      throw DataError("{}: dimension {} is 0; the file has no samples", bytes->name(), i);
    if (i == 0)
      layout.rows = extent;
    else
      layout.sample = layout.sample.append(extent);
    if (layout.sample.elements() > kMostElements)
      throw DataError(
          "{}: its header asks for samples of more than {} elements; the file is damaged",
          bytes->name(), kMostElements);
  }
  return {std::move(bytes), layout};
}

class IdxPair final : public Source {
 public:
  IdxPair(const std::vector<std::filesystem::path>& files, const char* split)
      : images_(open_file(named(files, split, 0))), labels_(open_file(named(files, split, 1))) {
    if (labels_.layout().sample.rank() != 0)
      throw DataError(
          "{} has labels of {}, not one number a sample; name the images first, then the labels",
          labels_.name(), labels_.layout().sample.text());
    if (images_.layout().rows != labels_.layout().rows)
      throw DataError("{} has {} samples, but {} has {}", images_.name(), images_.layout().rows,
                      labels_.name(), labels_.layout().rows);
  }
  std::int64_t samples() const override { return images_.layout().rows; }
  void read(std::span<const std::int64_t> rows, std::span<std::byte* const> fields,
            std::span<std::uint8_t>) override {
    images_.read(rows, fields[0]);
    labels_.read(rows, fields[1]);
  }
  std::string place(std::int64_t row, std::size_t field) override {
    return fmt::format("{}: row {}", (field == 0 ? images_ : labels_).name(), row);
  }
  std::vector<SourceField> fields(const ImportOptions& options) const {
    const ElementLayout &x = images_.layout(), &y = labels_.layout();
    SourceField image{{"image", x.dtype, x.sample}, "input", false, {}, {}, ""};
    SourceField label{{"label", y.dtype, {}}, "target", false, {}, {}, ""};
    settle_target(options, labels_.name(), label);
    return {image, label};
  }
  const std::string& name() const { return images_.name(); }

 private:
  static const std::filesystem::path& named(const std::vector<std::filesystem::path>& files,
                                            const char* split, std::size_t which) {
    if (files.size() != 2)
      throw UserError("the {} split of an IDX import needs 2 files, images then labels, not {}",
                      split, files.size());
    return files[which];
  }
  ElementRows images_, labels_;
};

}  // namespace

Sources open_idx(const ImportOptions& options) {
  Sources sources;
  auto train = std::make_unique<IdxPair>(options.train, "train");
  sources.description.fields = train->fields(options);
  if (!options.test.empty()) {
    auto test = std::make_unique<IdxPair>(options.test, "test");
    require_same_fields(sources.description.fields, train->name(), test->fields(options),
                        test->name());
    sources.test = std::move(test);
  }
  sources.train = std::move(train);
  return sources;
}

}  // namespace lockstep::data
