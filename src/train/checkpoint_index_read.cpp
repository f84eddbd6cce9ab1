#include <cstring>

#include "lockstep/core/error.h"
#include "train/checkpoint_blocks.h"
#include "train/checkpoint_index.h"
#include "train/hdf5_session.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

class Reader {
 public:
  explicit Reader(const fs::path& path) : path_(path), file_(open_file(), H5Fclose) {}

  std::string text_attribute(const std::string& name) {
    const Handle set(need(H5Aopen(file_.get(), name.c_str(), H5P_DEFAULT), name), H5Aclose);
    const Handle type(need(H5Aget_type(set.get()), name), H5Tclose);
    std::string value(H5Tget_size(type.get()), '\0');
    need(H5Aread(set.get(), type.get(), value.data()), name);
    return value;
  }

  std::int64_t version() {
    const Handle group(need(H5Gopen2(file_.get(), "/progress", H5P_DEFAULT), "progress"), H5Gclose);
    return number<std::int64_t>(group, "version", H5T_NATIVE_INT64);
  }

  template <class Value>
  std::map<std::string, Value> numbers(const std::string& name, hid_t type) {
    const Handle group(need(H5Gopen2(file_.get(), name.c_str(), H5P_DEFAULT), name), H5Gclose);
    std::vector<std::string> names;
    const auto collect = [](hid_t, const char* entry, const H5A_info_t*, void* out) -> herr_t {
      static_cast<std::vector<std::string>*>(out)->push_back(entry);
      return 0;
    };
    hsize_t at = 0;
    need(H5Aiterate2(group.get(), H5_INDEX_NAME, H5_ITER_NATIVE, &at, collect, &names), name);
    std::map<std::string, Value> values;
    for (const std::string& entry : names) values[entry] = number<Value>(group, entry, type);
    return values;
  }

  std::string text(const std::string& name) {
    const Handle set(need(H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT), name), H5Dclose);
    const Handle type(need(H5Dget_type(set.get()), name), H5Tclose);
    std::string value(H5Tget_size(type.get()), '\0');
    need(H5Dread(set.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, value.data()), name);
    if (value == std::string(1, '\0')) value.clear();  // how an empty text is stored
    return value;
  }

  std::vector<Hash128> hashes(const std::string& tensor, std::size_t blocks) {
    const std::string name = "/hashes/" + tensor;
    const Handle set = open_dataset(name, {static_cast<std::int64_t>(blocks), 2});
    std::vector<Hash128> values(blocks);
    need(H5Dread(set.get(), H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), name);
    return values;
  }

  std::uint64_t offset(const std::string& name, const Shape& shape) {
    const Handle set = open_dataset(name, shape);
    const Handle type(need(H5Dget_type(set.get()), name), H5Tclose);
    if (H5Tequal(type.get(), H5T_IEEE_F32LE) <= 0) damaged(name, "is not of 32-bit floats");
    const haddr_t at = H5Dget_offset(set.get());
    const auto bytes = static_cast<std::uint64_t>(shape.elements()) * sizeof(float);
    if (bytes > 0 && (at == HADDR_UNDEF || at + bytes > fs::file_size(path_))) {
      damaged(name, "lies beyond the end of the file");
    }
    return at;
  }

  [[noreturn]] void damaged(const std::string& name, const std::string& what) {
    throw DataError("{}: {} {}; the file is damaged, older ones may be whole", path_.string(), name,
                    what);
  }

 private:
  hid_t open_file() {
    const Handle access(need(H5Pcreate(H5P_FILE_ACCESS), "a property list"), H5Pclose);
    H5Pset_file_locking(access.get(), false, true);
    H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG);
    const hid_t file = H5Fopen(path_.c_str(), H5F_ACC_RDONLY, access.get());
    if (file < 0) {
      throw DataError("{} is not a whole checkpoint (HDF5: {}); older ones may be", path_.string(),
                      hdf5_reason());
    }
    return file;
  }

  Handle open_dataset(const std::string& name, const Shape& shape) {
    Handle set(need(H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT), name), H5Dclose);
    const Handle space(need(H5Dget_space(set.get()), name), H5Sclose);
    hsize_t extents[H5S_MAX_RANK] = {};
    const int rank = H5Sget_simple_extent_ndims(space.get());
    if (rank != shape.rank())
      damaged(name, "has another number of dimensions than the layout says");
    H5Sget_simple_extent_dims(space.get(), extents, nullptr);
    for (int d = 0; d < rank; ++d) {
      if (static_cast<std::int64_t>(extents[d]) != shape[d]) {
        damaged(name, "has another shape than the layout says");
      }
    }
    return set;
  }

  template <class Value>
  Value number(const Handle& group, const std::string& name, hid_t type) {
    const Handle set(need(H5Aopen(group.get(), name.c_str(), H5P_DEFAULT), name), H5Aclose);
    Value value{};
    need(H5Aread(set.get(), type, &value), name);
    return value;
  }

  template <class Result>
  Result need(Result result, const std::string& what) {
    if (result < 0) damaged(what, fmt::format("cannot be read (HDF5: {})", hdf5_reason()));
    return result;
  }

  fs::path path_;
  Handle file_;
};

CheckpointIndex read_from(Reader& file, const fs::path& path) {
  if (const std::int64_t version = file.version(); version != kFormatVersion) {
    throw UserError(
        "{} has checkpoint format {}, this lockstep reads format {}; use the lockstep that "
        "wrote it",
        path.string(), version, kFormatVersion);
  }
  CheckpointIndex index;
  index.file = path;
  index.digest = hash_from_text(file.text_attribute("digest"));
  index.text = {file.text("/run"), file.text("/environment"), file.text("/description")};
  try {
    set_layout(index, file.text("/layout"));
  } catch (const std::exception&) {
    file.damaged("/layout", "cannot be understood");
  }
  if (hash_of_texts(index) != hash_from_text(file.text_attribute("texts"))) {
    file.damaged("one of its texts (run, environment, description, layout)",
                 "does not fit its checksum");
  }
  index.progress.integers = file.numbers<std::int64_t>("/progress/integers", H5T_NATIVE_INT64);
  index.progress.reals = file.numbers<double>("/progress/reals", H5T_NATIVE_DOUBLE);
  for (const std::string& tensor : index.tensors) {
    for (const Parameter& p : index.table.parameters()) {
      index.offsets.push_back(file.offset(dataset_path(tensor, p.name), p.shape));
    }
    const auto hashes = file.hashes(tensor, index.table.blocks().size());
    index.hashes.insert(index.hashes.end(), hashes.begin(), hashes.end());
  }
  if (digest_of(index.hashes, index.progress) != index.digest) {
    file.damaged("its progress or its block hashes", "do not fit its digest");
  }
  return index;
}

}  // namespace

bool is_checkpoint(const fs::path& file) { return is_sealed(file); }

CheckpointIndex read_index(const fs::path& file) {
  if (!fs::exists(file)) throw UserError("there is no checkpoint {}", file.string());
  check_seal(file);
  const Hdf5Session session;
  Reader reader(file);
  return read_from(reader, file);
}

}  // namespace lockstep::train
