#include "lockstep/data/plain_hdf5.h"

#include <algorithm>

#include "hdf5.h"
#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr int kClasses = 10;

// Bytes that compress about as images do: small steps from one to the next.
std::vector<std::uint8_t> image_bytes(std::int64_t n, std::uint64_t seed) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(n));
  std::uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  int value = 128;
  for (std::uint8_t& byte : bytes) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;  // Knuth's MMIX
    value = std::clamp(value + static_cast<int>(state >> 61) - 3, 0, 255);
    byte = static_cast<std::uint8_t>(value);
  }
  return bytes;
}

Handle make_dataset(hid_t group, const char* name, DType type, const std::vector<hsize_t>& extents,
                    hsize_t chunk) {
  const Handle space(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr),
                     H5Sclose);
  const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  if (chunk > 0) {
    std::vector<hsize_t> chunks = extents;
    chunks[0] = std::min(chunk, extents[0]);
    H5Pset_chunk(creation.get(), static_cast<int>(chunks.size()), chunks.data());
    H5Pset_shuffle(creation.get());
    H5Pset_deflate(creation.get(), 4);
  }
  return Handle(H5Dcreate2(group, name, native_type(type).get(), space.get(), H5P_DEFAULT,
                           creation.get(), H5P_DEFAULT),
                H5Dclose);
}

bool write_rows(const Handle& dataset, DType type, hsize_t first, hsize_t count, const void* rows) {
  const Handle space(H5Dget_space(dataset.get()), H5Sclose);
  std::vector<hsize_t> extents(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space.get())));
  H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr);
  std::vector<hsize_t> start(extents.size());
  start[0] = first, extents[0] = count;
  H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, extents.data(), nullptr);
  const Handle memory(
      H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), H5Sclose);
  return H5Dwrite(dataset.get(), native_type(type).get(), memory.get(), space.get(), H5P_DEFAULT,
                  rows) >= 0;
}

}  // namespace

bool has_plain_rows(const Field& field) {
  return field.layout == Layout::kRows && field.sequence == 0;
}

PlainRows::PlainRows(const Manifest& manifest, const Field& field)
    : manifest_(manifest), field_(field) {
  if (!has_plain_rows(field))
    throw UserError("the samples of '{}' are no rows of a dataset", field.name);
}

PlainRows::~PlainRows() {
  Hdf5Lock lock;
  close();
}

void PlainRows::close() {
  if (dataset_ >= 0) H5Dclose(dataset_);
  if (file_ >= 0) H5Fclose(file_);
  dataset_ = file_ = -1;
}

void PlainRows::open(std::size_t piece) {
  if (dataset_ >= 0 && piece == open_piece_) return;
  close();
  const Piece& p = field_.pieces[piece];
  const std::filesystem::path& name = manifest_.files[static_cast<std::size_t>(p.file)];
  file_ = H5Fopen(name.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (file_ >= 0) dataset_ = H5Dopen2(file_, p.path.c_str(), H5P_DEFAULT);
  if (dataset_ < 0) throw DataError("{}: cannot open dataset {} ({})", name.string(), p.path,
                                    hdf5_reason());
  open_piece_ = piece;
}

void PlainRows::read(std::int64_t first, std::int64_t count, std::byte* out) {
  Hdf5Lock lock;
  std::int64_t base = 0;
  for (std::size_t i = 0; i < field_.pieces.size() && count > 0; ++i) {
    const Piece& piece = field_.pieces[i];
    const std::int64_t begin = first - base, here = std::min(count, piece.samples - begin);
    base += piece.samples;
    if (here <= 0) continue;
    open(i);
    const Shape rows = field_.sample.prepend(here);
    const std::vector<hsize_t> counts(rows.begin(), rows.end());
    std::vector<hsize_t> start(counts.size());
    start[0] = static_cast<hsize_t>(piece.first + begin);
    const Handle space(H5Dget_space(dataset_), H5Sclose);
    H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, counts.data(), nullptr);
    const Handle memory(H5Screate_simple(rows.rank(), counts.data(), nullptr), H5Sclose);
    if (H5Dread(dataset_, native_type(field_.dtype).get(), memory.get(), space.get(), H5P_DEFAULT,
                out) < 0)
      throw DataError("dataset {}: cannot read rows {} to {} ({})", piece.path, first,
                      first + here - 1, hdf5_reason());
    out += static_cast<std::size_t>(here) * field_.sample_bytes();
    first += here, count -= here;
  }
}

void write_plain_images(const std::filesystem::path& file, std::int64_t samples, const Shape& image,
                        std::int64_t chunk) {
  Hdf5Lock lock;
  const Handle opened(H5Fcreate(file.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
  const Handle group(opened ? H5Gcreate2(opened.get(), "train", H5P_DEFAULT, H5P_DEFAULT,
                                         H5P_DEFAULT)
                            : -1,
                     H5Gclose);
  const Shape all = image.prepend(samples);
  const std::vector<hsize_t> extents(all.begin(), all.end());
  bool good = static_cast<bool>(group);
  if (good) {
    const Handle packed = make_dataset(group.get(), "image", DType::kU8, extents,
                                       static_cast<hsize_t>(chunk)),
                 plain = make_dataset(group.get(), "image_contiguous", DType::kU8, extents, 0),
                 label = make_dataset(group.get(), "label", DType::kU8, {extents[0]}, 0);
    std::vector<std::uint8_t> labels(static_cast<std::size_t>(samples));
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = i * 7 % kClasses;
    good = write_rows(label, DType::kU8, 0, extents[0], labels.data());
    for (std::int64_t first = 0; first < samples && good; first += chunk) {
      const std::int64_t count = std::min(chunk, samples - first);
      const auto bytes = image_bytes(count * image.elements(), static_cast<std::uint64_t>(first));
      for (const Handle* dataset : {&packed, &plain})
        good = good && write_rows(*dataset, DType::kU8, static_cast<hsize_t>(first),
                                  static_cast<hsize_t>(count), bytes.data());
    }
  }
  if (!good)
    throw UserError("cannot write {} ({}); name another folder with --folder", file.string(),
                    hdf5_reason());
}

}  // namespace lockstep::data
