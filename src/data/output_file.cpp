#include "output_file.h"

#include <unistd.h>

#include "hash_store.h"
#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/units.h"

namespace lockstep::data {

OutputFile::OutputFile(std::filesystem::path path)
    : path_(std::filesystem::absolute(path)), temporary_(path_) {
  // The process number keeps two writers of the same name apart.
  temporary_ += ".tmp" + std::to_string(::getpid());
  std::string reason;
  {
    const Hdf5Lock lock;
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

OutputFile::~OutputFile() {
  {
    const Hdf5Lock lock;
    file_.close();
  }
  ::unlink(temporary_.c_str());
}

void OutputFile::add_text(const char* name, const std::string& text) {
  std::string reason;
  {
    const Hdf5Lock lock;
    if (write_text_attribute(file_.get(), name, text)) return;
    reason = hdf5_reason();
  }
  fail(reason);
}

void OutputFile::add_bytes(const char* name, const std::string& bytes) {
  std::string reason;
  {
    const Hdf5Lock lock;
    const hsize_t extent = bytes.size();
    const Handle space(H5Screate_simple(1, &extent, nullptr), H5Sclose);
    const Handle type = native_type(DType::kU8);
    Handle dataset(H5Dcreate2(file_.get(), name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT,
                              H5P_DEFAULT),
                   H5Dclose);
    if (dataset &&
        H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()) >= 0 &&
        dataset.close())
      return;
    reason = hdf5_reason();
  }
  fail(reason);
}

void OutputFile::add_hashes(const std::string& name, const UnitHashes& hashes) {
  std::string reason;
  {
    const Hdf5Lock lock;
    if (write_hashes(file_.get(), name, hashes)) return;
    reason = hdf5_reason();
  }
  fail(reason);
}

void OutputFile::finish() {
  std::string reason;
  {
    const Hdf5Lock lock;
    if (H5Fflush(file_.get(), H5F_SCOPE_GLOBAL) < 0 || !file_.close()) reason = hdf5_reason() + " ";
  }
  if (!reason.empty()) fail(reason);
  commit_file(temporary_, path_);
}

void OutputFile::fail(const std::string& reason) const {
  throw UserError("cannot write {} ({}); its folder has {} free", temporary_.string(), reason,
                  bytes_text(static_cast<double>(free_bytes(temporary_.parent_path()))));
}

}  // namespace lockstep::data
