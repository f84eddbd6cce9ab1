// How the bytes of a DatasetRows come from its file, and what is said when they do not.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "dataset_rows.h"
#include "links.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"

namespace lockstep::data {

void DatasetRows::pread_exactly(std::uint64_t address, std::byte* to, std::size_t bytes,
                                std::int64_t chunk) const {
  const events::Detail span(events::Kind::kFile, "reading", {.bytes = bytes});
  while (bytes > 0) {
    const ssize_t n = ::pread(file_->descriptor(), to, bytes, static_cast<off_t>(address));
    if (n < 0 && errno == EINTR) continue;
    const bool was_there = static_cast<std::int64_t>(address + bytes) <= stored_.stamp.bytes;
    if (n == 0 && !was_there) fail(chunk, "the file ends too early");
    if (n <= 0)
      throw StorageError("{}: cannot read dataset {}: {}; is the file being written or moved?",
                         file_->path().string(), piece_.path,
                         n < 0 ? std::strerror(errno) : "the file has become shorter");
    to += n;
    address += static_cast<std::uint64_t>(n);
    bytes -= static_cast<std::size_t>(n);
  }
}

hid_t DatasetRows::dataset() const {
  if (!dataset_) dataset_ = open_located(*file_, piece_.path);
  if (!dataset_) fail(-1, hdf5_reason());
  return dataset_.get();
}

void DatasetRows::read_by_hdf5(const Box& box, std::byte* out) const {
  Hdf5Lock lock;
  std::array<hsize_t, Box::kMaxRank> start{}, extents{};
  std::copy_n(box.start, rank_, start.begin());
  std::copy_n(box.extent, rank_, extents.begin());
  const Handle type = native_type(stored_.form->dtype);
  const Handle file_space(H5Dget_space(dataset()), H5Sclose);
  const Handle memory_space(H5Screate_simple(rank_, extents.data(), nullptr), H5Sclose);
  const bool scalar = rank_ == 0;  // which has no hyperslabs, and no other part than all
  if ((!scalar && H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, start.data(), nullptr,
                                      extents.data(), nullptr) < 0) ||
      H5Dread(dataset(), type.get(), memory_space.get(), file_space.get(), H5P_DEFAULT, out) < 0)
    fail_box(box, hdf5_reason());
}

void DatasetRows::fail(std::int64_t chunk, const std::string& why) const {
  if (chunk < 0)
    throw DataError("{}: cannot read dataset {}: {}; copy or import the file again",
                    file_->path().string(), piece_.path, why);
  const StoredForm& how = *stored_.form;
  const ChunkGrid grid{how.extents, how.chunk};
  std::string at;
  std::int64_t left = chunk, row = 0;
  for (std::size_t axis = how.chunk.size(); axis-- > 0;) {
    row = left % grid.along(axis) * how.chunk[axis];
    at = std::to_string(row) + (at.empty() ? "" : ", " + at);
    left /= grid.along(axis);
  }
  const StoredChunk stored = stored_.index ? stored_.index->at(chunk) : StoredChunk{};
  throw DataError(
      "{}: cannot read rows {} to {} of dataset {}: the chunk at [{}]{}: {}; copy or import the "
      "file again",
      file_->path().string(), row, std::min(row + how.chunk[0], how.extents[0]) - 1, piece_.path,
      at, stored_.index ? fmt::format(" ({} bytes at byte {})", stored.bytes, stored.address) : "",
      why);
}

void DatasetRows::fail_box(const Box& box, const std::string& why) const {
  throw DataError("{}: cannot read rows {} to {} of dataset {}: {}; copy or import the file again",
                  file_->path().string(), box.start[0], box.start[0] + box.extent[0] - 1,
                  piece_.path, why);
}

}  // namespace lockstep::data
