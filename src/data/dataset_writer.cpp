#include "dataset_writer.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "elements.h"
#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/units.h"
#include "manifest_text.h"

namespace lockstep::data {
namespace {

constexpr std::int64_t kMostClasses = 1 << 20;  // more are no classes, and are not counted

}  // namespace

SplitWriter::SplitWriter(hid_t file, std::filesystem::path path, std::string name,
                         std::int64_t samples, const std::vector<Column>& columns,
                         const ImportOptions& options)
    : path_(std::move(path)), name_(std::move(name)), samples_(samples), fields_(columns.size()) {
  std::int64_t largest = 1;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    FieldState& field = fields_[i];
    field.column = columns[i];
    field.row_bytes =
        static_cast<std::size_t>(field.column.sample.elements()) * size_of(field.column.dtype);
    largest = std::max(largest, static_cast<std::int64_t>(field.row_bytes));
  }
  chunk_ = std::max<std::int64_t>(options.chunk_bytes / largest, 1);
  if (samples_ != kGrows) chunk_ = std::min(chunk_, samples_);
  bool good = true;
  {
    Hdf5Lock lock;
    const Handle group(H5Gcreate2(file, name_.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                       H5Gclose);
    for (FieldState& field : fields_) {
      const Shape all = field.column.sample.prepend(std::max<std::int64_t>(samples_, 0)),
                  rows = field.column.sample.prepend(chunk_);
      const std::vector<hsize_t> extents(all.begin(), all.end()), chunk(rows.begin(), rows.end());
      std::vector<hsize_t> most = extents;
      if (samples_ == kGrows) most[0] = H5S_UNLIMITED;
      const Handle space(H5Screate_simple(all.rank(), extents.data(), most.data()), H5Sclose);
      const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
      H5Pset_chunk(creation.get(), rows.rank(), chunk.data());
      H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);
      // Shuffled bytes of wider elements pack better.
      if (options.deflate > 0 && size_of(field.column.dtype) > 1) H5Pset_shuffle(creation.get());
      if (options.deflate > 0)
        H5Pset_deflate(creation.get(), static_cast<unsigned>(options.deflate));
      const Handle type = native_type(field.column.dtype);
      field.dataset = Handle(H5Dcreate2(group.get(), field.column.name.c_str(), type.get(),
                                        space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                             H5Dclose);
      good = good && field.dataset;
      field.rows.reserve(static_cast<std::size_t>(chunk_) * field.row_bytes);
    }
  }
  if (!good) fail("cannot make its datasets");
}

SplitWriter::~SplitWriter() {
  Hdf5Lock lock;
  for (FieldState& field : fields_) field.dataset.close();
}

void SplitWriter::append(const std::vector<const std::byte*>& rows) {
  LOCKSTEP_CHECK(samples_ == kGrows || written_ + waiting_ < samples_, "split {} is full", name_);
  for (std::size_t i = 0; i < fields_.size(); ++i)
    fields_[i].rows.insert(fields_[i].rows.end(), rows[i], rows[i] + fields_[i].row_bytes);
  if (++waiting_ == chunk_) flush();
}

void SplitWriter::append_rows(const std::byte* rows, std::int64_t count) {
  FieldState& field = fields_.front();
  LOCKSTEP_CHECK(fields_.size() == 1 && samples_ == kGrows, "split {}", name_);
  while (count > 0) {
    const std::int64_t now = std::min(count, chunk_ - waiting_);
    const std::byte* end = rows + static_cast<std::size_t>(now) * field.row_bytes;
    field.rows.insert(field.rows.end(), rows, end);
    rows = end;
    count -= now;
    waiting_ += now;
    if (waiting_ == chunk_) flush();
  }
}

void SplitWriter::flush() {
  if (waiting_ == 0) return;
  for (FieldState& field : fields_) {
    const auto elements =
        static_cast<std::int64_t>(field.rows.size() / size_of(field.column.dtype));
    field.statistics.add(field.column.dtype, field.rows.data(), elements);
    count_classes(field);
    write_waiting(field);
    field.rows.clear();
  }
  written_ += waiting_;
  waiting_ = 0;
}

void SplitWriter::count_classes(FieldState& field) {
  if (is_float(field.column.dtype) || field.column.sample.elements() != 1) return;
  if (field.statistics.minimum() < 0 || field.statistics.maximum() >= kMostClasses) return;
  std::vector<std::int32_t> labels(static_cast<std::size_t>(waiting_));
  to_labels(field.column.dtype, field.rows.data(), waiting_, labels.data());
  const auto classes = static_cast<std::size_t>(field.statistics.maximum()) + 1;
  if (field.class_counts.size() < classes) field.class_counts.resize(classes);
  for (const std::int32_t label : labels) ++field.class_counts[static_cast<std::size_t>(label)];
}

void SplitWriter::write_waiting(FieldState& field) {
  Hdf5Lock lock;
  const Shape shape = field.column.sample.prepend(waiting_);
  const std::vector<hsize_t> extents(shape.begin(), shape.end());
  std::vector<hsize_t> start(extents.size(), 0);
  start[0] = static_cast<hsize_t>(written_);
  if (samples_ == kGrows) {
    std::vector<hsize_t> all = extents;
    all[0] += start[0];
    if (H5Dset_extent(field.dataset.get(), all.data()) < 0) fail(hdf5_reason());
  }
  const Handle memory(H5Screate_simple(shape.rank(), extents.data(), nullptr), H5Sclose);
  const Handle space(H5Dget_space(field.dataset.get()), H5Sclose);
  const Handle type = native_type(field.column.dtype);
  if (H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, extents.data(),
                          nullptr) < 0 ||
      H5Dwrite(field.dataset.get(), type.get(), memory.get(), space.get(), H5P_DEFAULT,
               field.rows.data()) < 0)
    fail(hdf5_reason());
}

void SplitWriter::fail(const std::string& reason) const {
  throw UserError("cannot write split {} of {} ({}); its folder has {} free", name_, path_.string(),
                  reason, bytes_text(static_cast<double>(free_bytes(path_.parent_path()))));
}

DatasetWriter::DatasetWriter(const ImportOptions& options) : options_(options) {
  options_.out = std::filesystem::absolute(options.out);
  if (std::filesystem::exists(options_.out) && !options_.overwrite)
    throw UserError("{} exists already; choose another name, or give --overwrite",
                    options_.out.string());
  // The process number keeps two imports to the same name apart.
  temporary_ = options_.out;
  temporary_ += ".tmp" + std::to_string(::getpid());
  std::string reason;
  {
    Hdf5Lock lock;
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5Pset_fapl_sec2(access.get());
    H5Pset_file_locking(access.get(), false, true);
    file_ =
        Handle(H5Fcreate(temporary_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), H5Fclose);
    if (!file_) reason = hdf5_reason();
  }
  if (!file_)
    throw UserError("cannot create {} ({}); check the folder", temporary_.string(), reason);
}

DatasetWriter::~DatasetWriter() {
  splits_.clear();
  if (!file_) return;
  {
    Hdf5Lock lock;
    file_.close();
  }
  ::unlink(temporary_.c_str());
}

SplitWriter& DatasetWriter::add_split(const std::string& name, std::int64_t samples,
                                      const std::vector<SplitWriter::Column>& columns) {
  splits_.push_back(
      std::make_unique<SplitWriter>(file_.get(), temporary_, name, samples, columns, options_));
  return *splits_.back();
}

void DatasetWriter::add_bytes(const std::string& name, const std::string& bytes) {
  std::string reason;
  {
    Hdf5Lock lock;
    const hsize_t extent = bytes.size();
    const Handle space(H5Screate_simple(1, &extent, nullptr), H5Sclose);
    const Handle type = native_type(DType::kU8);
    Handle dataset(H5Dcreate2(file_.get(), name.c_str(), type.get(), space.get(), H5P_DEFAULT,
                              H5P_DEFAULT, H5P_DEFAULT),
                   H5Dclose);
    if (!dataset ||
        H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()) < 0)
      reason = hdf5_reason();
    else
      return;
  }
  throw UserError("cannot write dataset {} of {} ({}); its folder has {} free", name,
                  temporary_.string(), reason,
                  bytes_text(static_cast<double>(free_bytes(temporary_.parent_path()))));
}

void DatasetWriter::finish(const std::string& manifest) {
  splits_.clear();
  bool good;
  std::string reason;
  {
    Hdf5Lock lock;
    // Of variable length: attributes of a fixed length end at 64 KiB.
    const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
    H5Tset_size(type.get(), H5T_VARIABLE);
    H5Tset_cset(type.get(), H5T_CSET_UTF8);
    const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
    Handle attribute(H5Acreate2(file_.get(), kManifestAttribute, type.get(), space.get(),
                                H5P_DEFAULT, H5P_DEFAULT),
                     H5Aclose);
    const char* text = manifest.c_str();
    good = attribute && H5Awrite(attribute.get(), type.get(), &text) >= 0 && attribute.close() &&
           H5Fflush(file_.get(), H5F_SCOPE_GLOBAL) >= 0;
    if (!good) reason = hdf5_reason();
    if (good) good = file_.close();
  }
  if (!good)
    throw UserError("cannot write {} ({}); its folder has {} free", temporary_.string(), reason,
                    bytes_text(static_cast<double>(free_bytes(temporary_.parent_path()))));
  try {
    commit_file(temporary_, options_.out);
  } catch (...) {
    ::unlink(temporary_.c_str());
    throw;
  }
}

}  // namespace lockstep::data
