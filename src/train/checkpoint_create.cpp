#include "lockstep/core/error.h"
#include "train/checkpoint_index.h"
#include "train/hdf5_session.h"

namespace lockstep::train {
namespace {

// Large tensors start on a page, so that writes of whole pages stay whole.
constexpr hsize_t kAlignFrom = 64 << 10, kAlignTo = 4096;

class Writer {
 public:
  explicit Writer(const std::filesystem::path& path)
      : path_(path),
        groups_(need(H5Pcreate(H5P_GROUP_CREATE), "a property list"), H5Pclose),
        data_(need(H5Pcreate(H5P_DATASET_CREATE), "a property list"), H5Pclose),
        file_(create_file(), H5Fclose) {
    H5Pset_layout(data_.get(), H5D_CONTIGUOUS);
    H5Pset_alloc_time(data_.get(), H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(data_.get(), H5D_FILL_TIME_NEVER);
    without_times(groups_);
    without_times(data_);
  }

  void close() {
    if (!file_.close()) fail("the end of the file");
  }

  // Returns where the dataset's numbers lie in the file.
  std::uint64_t dataset(const std::string& name, hid_t type, const std::vector<hsize_t>& extents,
                        const void* values = nullptr) {
    const Handle space(need(extents.empty() ? H5Screate(H5S_SCALAR)
                                            : H5Screate_simple(static_cast<int>(extents.size()),
                                                               extents.data(), nullptr),
                            name),
                       H5Sclose);
    make_groups_of(name);
    const Handle set(need(H5Dcreate2(file_.get(), name.c_str(), type, space.get(), H5P_DEFAULT,
                                     data_.get(), H5P_DEFAULT),
                          name),
                     H5Dclose);
    if (values != nullptr) {
      need(H5Dwrite(set.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), name);
    }
    return H5Dget_offset(set.get());
  }

  void text(const std::string& name, const std::string& value) {
    const Handle type = text_type(value);
    dataset(name, type.get(), {}, value.c_str());
  }

  Handle group(const std::string& name) {
    return {
        need(H5Gcreate2(file_.get(), name.c_str(), H5P_DEFAULT, groups_.get(), H5P_DEFAULT), name),
        H5Gclose};
  }

  void attribute(const Handle& on, const std::string& name, hid_t type, const void* value) {
    const Handle space(need(H5Screate(H5S_SCALAR), name), H5Sclose);
    const Handle set(
        need(H5Acreate2(on.get(), name.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT), name),
        H5Aclose);
    need(H5Awrite(set.get(), type, value), name);
  }

  void text_attribute(const std::string& name, const std::string& value) {
    const Handle type = text_type(value);
    attribute(file_, name, type.get(), value.c_str());
  }

 private:
  hid_t create_file() {
    const Handle access(need(H5Pcreate(H5P_FILE_ACCESS), "a property list"), H5Pclose);
    // Format 1.8: every piece of metadata carries a checksum, and old tools can read it.
    H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V18);
    H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG);
    H5Pset_alignment(access.get(), kAlignFrom, kAlignTo);
    const Handle root(need(H5Pcreate(H5P_FILE_CREATE), "a property list"), H5Pclose);
    without_times(root);
    return need(H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, root.get(), access.get()), "the file");
  }

  // Without times equal states give equal files, byte for byte.
  static void without_times(const Handle& properties) {
    H5Pset_obj_track_times(properties.get(), false);
  }

  void make_groups_of(const std::string& name) {
    for (std::size_t at = name.find('/', 1); at != std::string::npos; at = name.find('/', at + 1)) {
      const std::string path = name.substr(0, at);
      if (H5Lexists(file_.get(), path.c_str(), H5P_DEFAULT) <= 0) group(path);
    }
  }

  Handle text_type(const std::string& value) {
    Handle type(need(H5Tcopy(H5T_C_S1), "a type"), H5Tclose);
    H5Tset_size(type.get(), std::max<std::size_t>(1, value.size()));
    H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
    H5Tset_cset(type.get(), H5T_CSET_UTF8);
    return type;
  }

  template <class Result>
  Result need(Result result, const std::string& what) {
    if (result < 0) fail(what);
    return result;
  }
  [[noreturn]] void fail(const std::string& what) {
    throw UserError("cannot write {}: HDF5 could not create {} ({})", path_.string(), what,
                    hdf5_reason());
  }

  std::filesystem::path path_;
  Handle groups_, data_, file_;
};

}  // namespace

void create_checkpoint_file(CheckpointIndex& index) {
  const Hdf5Session session;
  Writer file(index.file);
  const std::int64_t version = kFormatVersion;
  file.text_attribute("format", kFormatName);
  file.text_attribute("digest", index.digest.text());
  file.text_attribute("texts", hash_of_texts(index).text());
  {
    const Handle root = file.group("/progress");
    file.attribute(root, "version", H5T_STD_I64LE, &version);
    const Handle integers = file.group("/progress/integers"), reals = file.group("/progress/reals");
    for (const auto& [name, value] : index.progress.integers) {
      file.attribute(integers, name, H5T_STD_I64LE, &value);
    }
    for (const auto& [name, value] : index.progress.reals) {
      file.attribute(reals, name, H5T_IEEE_F64LE, &value);
    }
  }
  file.text("/layout", layout_json(index));
  file.text("/run", index.text.resolved_run);
  file.text("/environment", index.text.environment);
  file.text("/description", index.text.description);

  index.offsets.clear();
  const std::size_t blocks = index.table.blocks().size();
  for (std::size_t t = 0; t < index.tensors.size(); ++t) {
    for (const Parameter& p : index.table.parameters()) {
      index.offsets.push_back(file.dataset(dataset_path(index.tensors[t], p.name), H5T_IEEE_F32LE,
                                           {p.shape.begin(), p.shape.end()}));
    }
    file.dataset("/hashes/" + index.tensors[t], H5T_STD_U64LE, {blocks, 2},
                 index.hashes.data() + t * blocks);
  }
  file.close();
}

}  // namespace lockstep::train
