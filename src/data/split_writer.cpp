#include <algorithm>

#include "dataset_writer.h"
#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/units.h"

namespace lockstep::data {

SplitPlan::SplitPlan(std::string its_name, std::int64_t its_samples,
                     std::vector<Column> its_columns, const ImportOptions& options)
    : name(std::move(its_name)), samples(its_samples), columns(std::move(its_columns)) {
  std::int64_t largest = 1;
  for (const Column& column : columns) {
    forms.push_back({column.dtype, column.sample, 1, options.deflate});
    largest = std::max(largest, static_cast<std::int64_t>(forms.back().row_bytes()));
  }
  chunk = std::max<std::int64_t>(options.chunk_bytes / largest, 1);
  if (samples != kGrows) chunk = std::min(chunk, samples);
  for (ChunkForm& form : forms) form.rows = chunk;
}

std::int64_t SplitPlan::bytes() const {
  std::int64_t bytes = 0;
  for (const ChunkForm& form : forms) bytes += chunk * static_cast<std::int64_t>(form.row_bytes());
  return bytes;
}

SplitWriter::SplitWriter(hid_t file, std::filesystem::path path, SplitPlan plan)
    : path_(std::move(path)), plan_(std::move(plan)), fields_(plan_.columns.size()) {
  bool good = true;
  {
    Hdf5Lock lock;
    const Handle group(H5Gcreate2(file, plan_.name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                       H5Gclose);
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      fields_[i].dataset = make_dataset(group.get(), i);
      fields_[i].statistics = Statistics(plan_.columns[i].dtype, plan_.columns[i].sample);
      good = good && fields_[i].dataset;
    }
  }
  if (!good) fail("cannot make its datasets");
}

SplitWriter::~SplitWriter() {
  Hdf5Lock lock;
  for (FieldState& field : fields_) field.dataset.close();
}

Handle SplitWriter::make_dataset(hid_t group, std::size_t column) const {
  const ChunkForm& form = plan_.forms[column];
  const Shape all = form.sample.prepend(std::max<std::int64_t>(plan_.samples, 0)),
              rows = form.sample.prepend(form.rows);
  const std::vector<hsize_t> extents(all.begin(), all.end()), chunk(rows.begin(), rows.end());
  std::vector<hsize_t> most = extents;
  if (plan_.samples == SplitPlan::kGrows) most[0] = H5S_UNLIMITED;
  const Handle space(H5Screate_simple(all.rank(), extents.data(), most.data()), H5Sclose);
  const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_chunk(creation.get(), rows.rank(), chunk.data());
  H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);
  if (form.shuffles()) H5Pset_shuffle(creation.get());
  if (form.deflate > 0) H5Pset_deflate(creation.get(), static_cast<unsigned>(form.deflate));
  const Handle type = native_type(form.dtype);
  return Handle(H5Dcreate2(group, plan_.columns[column].name.c_str(), type.get(), space.get(),
                           H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                H5Dclose);
}

bool SplitWriter::grow(const FieldState& field, const ChunkForm& form, std::int64_t rows) const {
  const Shape all = form.sample.prepend(rows);
  const std::vector<hsize_t> extents(all.begin(), all.end());
  return H5Dset_extent(field.dataset.get(), extents.data()) >= 0;
}

void SplitWriter::write(const PackedChunk& chunk) {
  FieldState& field = fields_[static_cast<std::size_t>(chunk.field)];
  const ChunkForm& form = plan_.forms[static_cast<std::size_t>(chunk.field)];
  LOCKSTEP_CHECK(chunk.index == static_cast<std::int64_t>(field.hashes.size()),
                 "chunk {} of split {} out of turn", chunk.index, plan_.name);
  const std::int64_t first = chunk.index * form.rows;
  std::string reason;
  bool good = true;
  {
    Hdf5Lock lock;
    if (plan_.samples == SplitPlan::kGrows) good = grow(field, form, first + chunk.rows);
    std::vector<hsize_t> offset(static_cast<std::size_t>(form.sample.rank()) + 1, 0);
    offset[0] = static_cast<hsize_t>(first);
    good = good && H5Dwrite_chunk(field.dataset.get(), H5P_DEFAULT, chunk.filters_off,
                                  offset.data(), chunk.bytes.size(), chunk.bytes.data()) >= 0;
    if (!good) reason = hdf5_reason();
  }
  if (!good) fail(reason);
  field.statistics.merge(chunk.figures);
  field.hashes.push_back(chunk.hash);
}

void SplitWriter::append_rows(const std::byte* rows, std::int64_t count) {
  const ChunkForm& form = plan_.forms.front();
  LOCKSTEP_CHECK(fields_.size() == 1 && plan_.samples == SplitPlan::kGrows, "split {}", plan_.name);
  const std::size_t whole = static_cast<std::size_t>(form.rows) * form.row_bytes();
  const std::byte* const end = rows + static_cast<std::size_t>(count) * form.row_bytes();
  while (rows < end) {
    const std::size_t now = std::min(static_cast<std::size_t>(end - rows), whole - waiting_.size());
    waiting_.insert(waiting_.end(), rows, rows + now);
    rows += now;
    if (waiting_.size() == whole) flush();
  }
}

void SplitWriter::flush() {
  if (waiting_.empty()) return;
  const auto index = static_cast<std::int64_t>(fields_.front().hashes.size());
  write(pack_chunk(plan_.forms.front(), 0, index, waiting_));
  waiting_.clear();
}

std::int64_t SplitWriter::samples() const {
  if (plan_.samples != SplitPlan::kGrows) return plan_.samples;
  const Statistics& written = fields_.front().statistics;  // of all rows but those that wait
  const auto waiting = static_cast<std::int64_t>(waiting_.size() / plan_.forms.front().row_bytes());
  return written.count() / plan_.forms.front().sample.elements() + waiting;
}

void SplitWriter::fail(const std::string& reason) const {
  throw UserError("cannot write split {} of {} ({}); its folder has {} free", plan_.name,
                  path_.string(), reason,
                  bytes_text(static_cast<double>(free_bytes(path_.parent_path()))));
}

}  // namespace lockstep::data
