#include "dataset_rows.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "chunk_filters.h"
#include "codec.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"

namespace lockstep::data {
namespace {

constexpr const char* kAbsentChunk = "storage is not allocated";  // of HDF5's reason for it

std::int64_t product(std::span<const std::int64_t> extents) {
  std::int64_t all = 1;
  for (const std::int64_t extent : extents) all *= extent;
  return all;
}

}  // namespace

DatasetRows::DatasetRows(std::shared_ptr<const InputFile> file, const Piece& piece,
                         const Form& form, std::optional<StoredDataset> known)
    : file_(std::move(file)),
      piece_(piece),
      layout_(form.layout),
      stored_(known ? std::move(*known) : ask_hdf5(*file_, piece.path)),
      block_(form.block),
      rank_(static_cast<int>(stored_.form->extents.size())),
      row_bytes_(static_cast<std::size_t>(form.sample.elements()) * size_of(form.dtype)),
      element_bytes_(size_of(form.dtype)) {
  check(form);
  const StoredForm& how = *stored_.form;
  const std::string where = file_->path().string();
  if (!how.refusal.empty())
    throw DataError("{}: cannot read dataset {}: {}", where, piece_.path, how.refusal);
  const bool in_chunks = !how.chunk.empty();
  if (how.only_hdf5.empty()) way_ = in_chunks ? Way::kChunks : Way::kPread;
  if (in_chunks) chunk_bytes_ = static_cast<std::size_t>(product(how.chunk)) * element_bytes_;
  parts_ = layout_ == Layout::kRows && (!in_chunks || how.filters.empty());
  if (layout_ != Layout::kRows) return;  // units of one row
  if (in_chunks) {
    unit_rows_ = how.chunk[0];
    offset_ = piece_.first % unit_rows_;
  } else {
    unit_rows_ = std::max<std::int64_t>(kUnitBytes / static_cast<std::int64_t>(row_bytes_), 1);
  }
}

DatasetRows::~DatasetRows() {
  if (!dataset_) return;
  Hdf5Lock lock;
  dataset_.close();
}

// That the dataset is what the manifest says, and its file the one that HDF5 spoke of.
void DatasetRows::check(const Form& form) const {
  const std::vector<std::int64_t>& extents = stored_.form->extents;
  const std::size_t rank = extents.size();
  const auto sample_rank = static_cast<std::size_t>(form.sample.rank());
  bool same = stored_.form->dtype == form.dtype && rank <= Box::kMaxRank &&
              stored_.stamp == stamp_of(*file_);
  if (layout_ == Layout::kRows) {
    same = same && rank == sample_rank + 1 && extents[0] >= piece_.first + piece_.samples;
    for (std::size_t i = 0; same && i < sample_rank; ++i)
      same = extents[i + 1] == form.sample[static_cast<int>(i)];
  } else {
    std::int64_t blocks = 1;
    same = same && rank == sample_rank && block_.size() <= rank;
    for (std::size_t i = 0; same && i < rank; ++i) {
      const std::int64_t extent = form.sample[static_cast<int>(i)];
      const bool cut = layout_ == Layout::kBlocks && i < block_.size();
      same = extent > 0 && (cut ? extents[i] % extent == 0 : extents[i] == extent);
      if (same && cut) blocks *= extents[i] / extent;
    }
    same = same && piece_.first + piece_.samples <= blocks;
  }
  if (!same)
    throw DataError("{}: dataset {} changed since the file was opened", file_->path().string(),
                    piece_.path);
}

UnitSource::Unit DatasetRows::unit(std::int64_t index) const {
  const std::int64_t first = std::max<std::int64_t>(index * unit_rows_ - offset_, 0);
  return {first, std::min((index + 1) * unit_rows_ - offset_, rows()) - first};
}

std::int64_t DatasetRows::read_unit(std::int64_t index, std::byte* out) const {
  const Unit wanted = unit(index);
  return read_part(wanted.first, wanted.rows, out);
}

std::int64_t DatasetRows::read_part(std::int64_t first, std::int64_t count, std::byte* out) const {
  std::int64_t bytes = 0;
  // Only units of kRows have several rows: those of other layouts lie apart.
  const std::int64_t at_once = layout_ == Layout::kRows ? count : 1;
  for (std::int64_t row = first; row < first + count; row += at_once) {
    const Box box = box_of(piece_.first + row, at_once);
    std::byte* to = out + static_cast<std::size_t>(row - first) * row_bytes_;
    if (way_ == Way::kHdf5) {
      read_by_hdf5(box, to);
      bytes += at_once * static_cast<std::int64_t>(row_bytes_);
    } else {
      bytes += way_ == Way::kPread ? read_contiguous(box, to) : read_chunks(box, to);
    }
  }
  if (way_ != Way::kHdf5 && stored_.form->big_endian)
    swap_bytes({out, static_cast<std::size_t>(count) * row_bytes_}, element_bytes_);
  return bytes;
}

Box DatasetRows::box_of(std::int64_t first, std::int64_t count) const {
  const std::vector<std::int64_t>& extents = stored_.form->extents;
  Box box;
  box.rank = rank_;
  for (int i = 0; i < rank_; ++i) box.extent[i] = extents[static_cast<std::size_t>(i)];
  if (layout_ == Layout::kRows) {
    box.start[0] = first;
    box.extent[0] = count;
  } else if (layout_ == Layout::kBlocks) {
    for (int i = static_cast<int>(block_.size()); i-- > 0;) {
      box.extent[i] = block_[static_cast<std::size_t>(i)];
      const std::int64_t blocks = extents[static_cast<std::size_t>(i)] / box.extent[i];
      box.start[i] = first % blocks * box.extent[i];
      first /= blocks;
    }
  }
  return box;
}

std::string DatasetRows::place(std::int64_t row) const {
  const std::string dataset = fmt::format("{}: dataset {}", file_->path().string(), piece_.path);
  if (layout_ == Layout::kSample) return dataset;
  return fmt::format("{}, {} {}", dataset, layout_ == Layout::kBlocks ? "block" : "row",
                     piece_.first + row);
}

std::string DatasetRows::way() const {
  const StoredForm& how = *stored_.form;
  if (way_ == Way::kHdf5) return fmt::format("HDF5: {}", how.only_hdf5);
  if (way_ == Way::kPread) return "pread";
  const std::string decoded =
      how.filters.empty() ? "" : fmt::format(", {} undone here", filter_names(how.filters));
  if (stored_.index)
    return fmt::format("pread of chunks{}, found by {}", decoded, how.index_source);
  return fmt::format("H5Dread_chunk{}: {}", decoded, how.index_source);
}

std::int64_t DatasetRows::read_contiguous(const Box& box, std::byte* out) const {
  const Box whole = Box::of(stored_.form->extents);
  for_each_run(box, whole, box, [&](std::int64_t from, std::int64_t to, std::int64_t elements) {
    const std::size_t bytes = static_cast<std::size_t>(elements) * element_bytes_;
    pread_exactly(stored_.address + static_cast<std::uint64_t>(from) * element_bytes_,
                  out + static_cast<std::size_t>(to) * element_bytes_, bytes, -1);
  });
  return box.elements() * static_cast<std::int64_t>(element_bytes_);
}

std::int64_t DatasetRows::read_chunks(const Box& box, std::byte* out) const {
  const std::vector<std::int64_t>& shape = stored_.form->chunk;
  const ChunkGrid grid{stored_.form->extents, {shape}};
  std::int64_t at[Box::kMaxRank], begin[Box::kMaxRank], end[Box::kMaxRank];
  for (int i = 0; i < rank_; ++i) {
    const std::int64_t extent = shape[static_cast<std::size_t>(i)];
    at[i] = begin[i] = box.start[i] / extent;
    end[i] = (box.start[i] + box.extent[i] + extent - 1) / extent;
  }
  std::int64_t bytes = 0;
  while (true) {
    std::int64_t place = 0;
    Box chunk;
    chunk.rank = rank_;
    for (int i = 0; i < rank_; ++i) {
      const std::int64_t extent = shape[static_cast<std::size_t>(i)];
      place = place * grid.along(static_cast<std::size_t>(i)) + at[i];
      chunk.start[i] = at[i] * extent;
      chunk.extent[i] = extent;
    }
    bytes += read_chunk(place, chunk, box, out);
    int axis = rank_ - 1;
    while (axis >= 0 && ++at[axis] == end[axis]) {
      at[axis] = begin[axis];
      --axis;
    }
    if (axis < 0) return bytes;
  }
}

// What of a chunk lies in the box, to its place in `out`.
std::int64_t DatasetRows::read_chunk(std::int64_t place, const Box& chunk, const Box& box,
                                     std::byte* out) const {
  const Box wanted = chunk.common(box);
  const StoredForm& how = *stored_.form;
  if (stored_.index) {
    const StoredChunk stored = stored_.index->at(place);
    if (stored.address == StoredChunk::kAbsent) {
      fill(wanted, box, out);
      return 0;
    }
    if (how.filters.empty()) return read_plain(stored, place, chunk, wanted, box, out);
  }
  std::uint32_t skipped = 0;
  const std::span<const std::byte> raw = raw_chunk(place, chunk, skipped);
  if (raw.empty()) {
    fill(wanted, box, out);
    return 0;
  }
  // Straight to its place, where all of the chunk is wanted and lies together there.
  const bool whole = wanted.elements() == chunk.elements() && chunk.lies_together_in(box);
  const std::span<std::byte> decoded =
      whole ? std::span(out + static_cast<std::size_t>(box.offset_of(chunk)) * element_bytes_,
                        chunk_bytes_)
            : chunk_scratch(chunk_bytes_);
  const char* wrong = "";
  {
    const events::Detail span(events::Kind::kFile, "decoding a chunk", {.bytes = raw.size()});
    wrong = undo_filters(how.filters, skipped, element_bytes_, raw, decoded);
  }
  if (*wrong != '\0') fail(place, wrong);
  if (!whole) copy_box(wanted, chunk, decoded.data(), 0, box, out);
  return static_cast<std::int64_t>(raw.size());
}

// Of a chunk without filters only the bytes that are wanted are read, or few others.
std::int64_t DatasetRows::read_plain(const StoredChunk& stored, std::int64_t place,
                                     const Box& chunk, const Box& wanted, const Box& box,
                                     std::byte* out) const {
  if (stored.bytes != chunk_bytes_) fail(place, "it has a wrong size");
  const std::size_t wanted_bytes = static_cast<std::size_t>(wanted.elements()) * element_bytes_;
  const auto first = static_cast<std::size_t>(chunk.offset_of(wanted)) * element_bytes_;
  if (wanted.lies_together_in(chunk) && wanted.lies_together_in(box)) {
    pread_exactly(stored.address + first,
                  out + static_cast<std::size_t>(box.offset_of(wanted)) * element_bytes_,
                  wanted_bytes, place);
    return static_cast<std::int64_t>(wanted_bytes);
  }
  // From the first byte that is wanted to the last, by parts that fit a cache.
  constexpr std::size_t kMostSpan = 4 << 20;
  Box part = wanted;
  int axis = 0;  // along which parts of one layer are cut
  const auto span = [&] {
    return static_cast<std::size_t>(chunk.offset_of_last(part) - chunk.offset_of(part) + 1) *
           element_bytes_;
  };
  while (axis < rank_ && span() > kMostSpan) part.extent[axis++] = 1;
  std::int64_t bytes = 0;
  while (true) {
    const std::span<std::byte> raw = raw_scratch(span());
    pread_exactly(stored.address + static_cast<std::size_t>(chunk.offset_of(part)) * element_bytes_,
                  raw.data(), raw.size(), place);
    bytes += static_cast<std::int64_t>(raw.size());
    copy_box(part, chunk, raw.data(), chunk.offset_of(part), box, out);
    int i = axis - 1;
    while (i >= 0 && ++part.start[i] == wanted.start[i] + wanted.extent[i]) {
      part.start[i] = wanted.start[i];
      --i;
    }
    if (i < 0) return bytes;
  }
}

// The stored bytes of a chunk, in the thread's buffer; empty: it was never written.
std::span<const std::byte> DatasetRows::raw_chunk(std::int64_t place, const Box& chunk,
                                                  std::uint32_t& skipped) const {
  // No sane stream is longer than its content plus its packer's worst case.
  const std::size_t most = chunk_bytes_ + chunk_bytes_ / 8 + 1024;
  if (stored_.index) {
    const StoredChunk stored = stored_.index->at(place);
    if (stored.bytes > most || stored.bytes == 0) fail(place, "it has a wrong size");
    skipped = stored.skipped;
    const std::span<std::byte> raw = raw_scratch(stored.bytes);
    pread_exactly(stored.address, raw.data(), raw.size(), place);
    return raw;
  }
  Hdf5Lock lock;
  std::array<hsize_t, Box::kMaxRank> start{};
  std::copy_n(chunk.start, rank_, start.begin());
  hsize_t bytes = 0;
  if (H5Dget_chunk_storage_size(dataset(), start.data(), &bytes) < 0) {
    // An absent chunk is an error in some versions and size 0 in others; a damaged index is one
    // too.
    const std::string reason = hdf5_reason();
    if (reason.find(kAbsentChunk) == std::string::npos) fail(place, reason);
    bytes = 0;
  }
  if (bytes > most) fail(place, "it has a wrong size");
  const std::span<std::byte> raw = raw_scratch(bytes);
  if (bytes > 0 && H5Dread_chunk(dataset(), H5P_DEFAULT, start.data(), &skipped, raw.data()) < 0)
    fail(place, hdf5_reason());
  return raw;
}

void DatasetRows::fill(const Box& wanted, const Box& box, std::byte* out) const {
  const std::vector<std::byte>& value = stored_.form->fill;
  for_each_run(wanted, wanted, box, [&](std::int64_t, std::int64_t to, std::int64_t elements) {
    for (std::int64_t i = 0; i < elements; ++i)
      std::memcpy(out + static_cast<std::size_t>(to + i) * element_bytes_, value.data(),
                  element_bytes_);
  });
}

// `from` is element `first` of the source.
void DatasetRows::copy_box(const Box& wanted, const Box& source, const std::byte* from,
                           std::int64_t first, const Box& target, std::byte* out) const {
  for_each_run(wanted, source, target,
               [&](std::int64_t at, std::int64_t to, std::int64_t elements) {
                 std::memcpy(out + static_cast<std::size_t>(to) * element_bytes_,
                             from + static_cast<std::size_t>(at - first) * element_bytes_,
                             static_cast<std::size_t>(elements) * element_bytes_);
               });
}

std::shared_ptr<const DatasetRows> open_dataset(const StorageTable* storage,
                                                std::shared_ptr<const InputFile> file,
                                                const Piece& piece, const Field& field) {
  const Shape sample = field.sequence > 0 ? Shape() : field.sample;
  return std::make_shared<const DatasetRows>(
      std::move(file), piece, DatasetRows::Form{field.dtype, sample, field.layout, field.block},
      storage != nullptr ? storage->find(piece.file, piece.path) : std::nullopt);
}

}  // namespace lockstep::data
