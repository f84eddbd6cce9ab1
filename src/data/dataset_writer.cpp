#include "dataset_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "hash_store.h"
#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/units.h"
#include "manifest_text.h"

namespace lockstep::data {

void DatasetWriter::check_name(const ImportOptions& options) {
  if (std::filesystem::exists(options.out) && !options.overwrite)
    throw UserError("{} exists already; choose another name, or give --overwrite",
                    std::filesystem::absolute(options.out).string());
}

DatasetWriter::DatasetWriter(const ImportOptions& options)
    : out_(std::filesystem::absolute(options.out)) {
  check_name(options);
  // One name for all imports of a dataset: what a killed one left is replaced by the next.
  temporary_ = out_;
  temporary_ += ".importing";
  claim();
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
  if (file_) return;
  ::unlink(temporary_.c_str());
  ::close(claim_);
  throw UserError("cannot create {} ({}); check the folder", temporary_.string(), reason);
}

// Two imports to one name would write into one file. File systems without locks have no such guard.
void DatasetWriter::claim() {
  claim_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (claim_ < 0)
    throw UserError("cannot create {} ({}); check the folder", temporary_.string(),
                    std::strerror(errno));
  if (::flock(claim_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(claim_);
  throw UserError("another import is writing {}; wait for it, or choose another name",
                  temporary_.string());
}

DatasetWriter::~DatasetWriter() {
  splits_.clear();
  if (file_) {
    Hdf5Lock lock;
    file_.close();
    ::unlink(temporary_.c_str());
  }
  ::close(claim_);
}

SplitWriter& DatasetWriter::add_split(const SplitPlan& plan) {
  splits_.push_back(std::make_unique<SplitWriter>(file_.get(), temporary_, plan));
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
  fail(fmt::format("dataset {} of {}", name, temporary_.string()), reason);
}

void DatasetWriter::finish(const std::string& manifest,
                           const std::map<std::string, UnitHashes>& hashes) {
  splits_.clear();
  bool good = true;
  std::string reason;
  {
    Hdf5Lock lock;
    for (const auto& [dataset, of_units] : hashes)
      good = good && write_hashes(file_.get(), dataset, of_units);
    good = good && write_text_attribute(file_.get(), kManifestAttribute, manifest) &&
           H5Fflush(file_.get(), H5F_SCOPE_GLOBAL) >= 0;
    if (!good) reason = hdf5_reason();
    if (good) good = file_.close();
  }
  if (!good) {
    ::unlink(temporary_.c_str());
    fail(temporary_.string(), reason);
  }
  try {
    commit_file(temporary_, out_);
  } catch (...) {
    ::unlink(temporary_.c_str());
    throw;
  }
}

void DatasetWriter::fail(const std::string& what, const std::string& reason) const {
  throw UserError("cannot write {} ({}); its folder has {} free", what, reason,
                  bytes_text(static_cast<double>(free_bytes(temporary_.parent_path()))));
}

}  // namespace lockstep::data
