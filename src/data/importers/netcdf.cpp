// NetCDF files, classic and NetCDF-4 (libnetcdf): variables by their names, the first dimension
// counts the samples. Packed values and fill values are undone as the CF conventions say (1.10,
// sections 2.5.1 and 8.1).
#include <netcdf.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "../elements.h"
#include "../hdf5.h"
#include "lockstep/core/error.h"
#include "netcdf_size.h"
#include "source.h"

namespace lockstep::data {
namespace {

struct Variable {
  int id = -1;
  std::string name, unit;
  DType stored = DType::kF32, dtype = DType::kF32;  // in the file, and when unpacked
  Shape sample;
  std::int64_t rows = 0;
  std::optional<double> scale, offset;
  std::vector<double> nothing;  // values that stand for none
  bool unpacked() const { return scale || offset; }
};

std::optional<DType> type_of(nc_type type) {
  switch (type) {
    case NC_BYTE:
      return DType::kI8;
    case NC_UBYTE:
      return DType::kU8;
    case NC_SHORT:
      return DType::kI16;
    case NC_USHORT:
      return DType::kU16;
    case NC_INT:
      return DType::kI32;
    case NC_UINT:
      return DType::kU32;
    case NC_INT64:
      return DType::kI64;
    case NC_UINT64:
      return DType::kU64;
    case NC_FLOAT:
      return DType::kF32;
    case NC_DOUBLE:
      return DType::kF64;
    default:
      return std::nullopt;
  }
}

// The library may share HDF5 with the rest of the program: the door is the same.
class NetcdfFile {
 public:
  explicit NetcdfFile(const std::filesystem::path& path) : path_(path.string()) {
    if (!std::filesystem::is_regular_file(path))
      throw UserError("cannot read {}: there is no such file", path_);
    PlainFile bytes(path);
    check_netcdf_size(bytes);
    // As for all data files: locks fail on many shared file systems.
    ::setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0);
    Hdf5Lock lock;
    if (const int code = nc_open(path.c_str(), NC_NOWRITE, &id_); code != NC_NOERR)
      throw DataError("{} is no readable NetCDF file ({}); get the file again", path_,
                      nc_strerror(code));
  }
  ~NetcdfFile() {
    Hdf5Lock lock;
    nc_close(id_);
  }
  NetcdfFile(const NetcdfFile&) = delete;
  NetcdfFile& operator=(const NetcdfFile&) = delete;
  const std::string& path() const { return path_; }

  Variable variable(const std::string& name, bool keeps_integers) const {
    Hdf5Lock lock;
    Variable v;
    v.name = name;
    if (nc_inq_varid(id_, name.c_str(), &v.id) != NC_NOERR)
      throw UserError("{} has no variable \"{}\"; it has: {}", path_, name, names());
    nc_type type = NC_NAT;
    int dimensions = 0, ids[NC_MAX_VAR_DIMS] = {};
    check(nc_inq_var(id_, v.id, nullptr, &type, &dimensions, ids, nullptr), name);
    const auto stored = type_of(type);
    if (!stored) throw DataError("{}: variable {} holds no numbers", path_, name);
    if (dimensions == 0 || dimensions > Shape::kMaxRank)
      throw DataError("{}: variable {} has {} dimensions; the first counts the samples", path_,
                      name, dimensions);
    for (int d = 0; d < dimensions; ++d) {
      std::size_t extent = 0;
      check(nc_inq_dimlen(id_, ids[d], &extent), name);
      if (extent == 0) throw DataError("{}: variable {} has no samples", path_, name);
      if (d == 0)
        v.rows = static_cast<std::int64_t>(extent);
      else
        v.sample = v.sample.append(static_cast<std::int64_t>(extent));
    }
    v.stored = *stored;
    read_attributes(v, keeps_integers);
    return v;
  }

  void read(const Variable& v, std::int64_t first, std::int64_t count, std::byte* out) const {
    std::vector<std::size_t> start(static_cast<std::size_t>(v.sample.rank()) + 1, 0);
    std::vector<std::size_t> extents{static_cast<std::size_t>(count)};
    extents.insert(extents.end(), v.sample.begin(), v.sample.end());
    start[0] = static_cast<std::size_t>(first);
    Hdf5Lock lock;
    if (const int code = nc_get_vara(id_, v.id, start.data(), extents.data(), out);
        code != NC_NOERR)
      throw DataError("{}: variable {}, rows {} to {}: {}; get the file again", path_, v.name,
                      first, first + count - 1, nc_strerror(code));
  }

 private:
  void check(int code, const std::string& name) const {
    if (code != NC_NOERR) throw DataError("{}: variable {}: {}", path_, name, nc_strerror(code));
  }

  std::string names() const {
    std::string text;
    int count = 0;
    nc_inq_nvars(id_, &count);
    for (int i = 0; i < count; ++i) {
      char name[NC_MAX_NAME + 1] = "";
      nc_inq_varname(id_, i, name);
      text += (text.empty() ? "" : ", ") + std::string(name);
    }
    return text;
  }

  // The numbers of an attribute; none if there is no such.
  std::vector<double> numbers(const Variable& v, const char* name, nc_type& type) const {
    std::size_t count = 0;
    if (nc_inq_att(id_, v.id, name, &type, &count) != NC_NOERR || !type_of(type)) return {};
    std::vector<double> values(count);
    if (nc_get_att_double(id_, v.id, name, values.data()) != NC_NOERR) return {};
    return values;
  }

  void read_attributes(Variable& v, bool keeps_integers) const {
    nc_type type = NC_NAT;
    v.dtype = v.stored;
    for (const auto& [name, to] : {std::pair("scale_factor", &v.scale), {"add_offset", &v.offset}})
      if (const auto values = numbers(v, name, type); !values.empty()) {
        *to = values.front();
        // The type of the attributes is that of the numbers.
        if (v.dtype != DType::kF64) v.dtype = type == NC_DOUBLE ? DType::kF64 : DType::kF32;
      }
    const bool packed = v.unpacked();
    for (const char* name : {"_FillValue", "missing_value"})
      for (const double value : numbers(v, name, type)) v.nothing.push_back(value);
    const bool told = !v.nothing.empty();
    add_default_fill(v);
    if (!packed && told && !is_float(v.stored) && !keeps_integers)
      v.dtype = size_of(v.stored) <= 2 ? DType::kF32 : DType::kF64;  // which hold them, and NaN
    std::size_t length = 0;
    if (nc_inq_att(id_, v.id, "units", &type, &length) == NC_NOERR && type == NC_CHAR) {
      v.unit.resize(length);
      nc_get_att_text(id_, v.id, "units", v.unit.data());
      while (!v.unit.empty() && (v.unit.back() == '\0' || v.unit.back() == ' ')) v.unit.pop_back();
    }
  }

  // What the library itself wrote where nobody did. Bytes have none, as all their values are used.
  void add_default_fill(Variable& v) const {
    if (v.stored == DType::kF32) v.nothing.push_back(static_cast<double>(NC_FILL_FLOAT));
    if (v.stored == DType::kF64) v.nothing.push_back(NC_FILL_DOUBLE);
  }

  std::string path_;
  int id_ = -1;
};

class NetcdfFiles final : public Source {
 public:
  NetcdfFiles(const ImportOptions& options, const std::vector<std::filesystem::path>& files) {
    if (options.inputs.empty())
      throw UserError(
          "a NetCDF import reads the variables that you name; give --input VARIABLE, "
          "and --target VARIABLE if there is one");
    for (const auto& path : files) {
      File file{std::make_unique<NetcdfFile>(path), begin_of_next_, 0, {}};
      for (const std::string& name : options.inputs)
        file.variables.push_back(file.file->variable(name, false));
      if (!options.target.empty())
        file.variables.push_back(file.file->variable(options.target, options.target_is_class));
      const Variable& first = file.variables.front();
      for (const Variable& v : file.variables)
        if (v.rows != first.rows)
          throw DataError("{}: variable {} has {} samples, but {} has {}", file.file->path(),
                          first.name, first.rows, v.name, v.rows);
      file.rows = first.rows;
      begin_of_next_ += file.rows;
      files_.push_back(std::move(file));
    }
    for (const File& file : files_)
      require_same_fields(fields(), name(), fields_of(file), file.file->path());
  }
  const std::string& name() const { return files_.front().file->path(); }
  std::vector<SourceField> fields() const { return fields_of(files_.front()); }

  std::int64_t samples() const override { return begin_of_next_; }
  void read(std::span<const std::int64_t> rows, std::span<std::byte* const> fields,
            std::span<std::uint8_t> missing) override {
    for (std::size_t done = 0; done < rows.size();) {
      File& file = file_of(rows[done]);
      std::size_t end = done + 1;  // a run of rows without gaps
      while (end < rows.size() && rows[end] == rows[end - 1] + 1 &&
             rows[end] < file.begin + file.rows)
        ++end;
      for (std::size_t f = 0; f < fields.size(); ++f) {
        const Variable& v = file.variables[f];
        const auto row = static_cast<std::size_t>(v.sample.elements()) * size_of(v.dtype);
        read_run(*file.file, v, rows[done] - file.begin, static_cast<std::int64_t>(end - done),
                 fields[f] + done * row, missing.subspan(done, end - done));
      }
      done = end;
    }
  }
  std::string place(std::int64_t row, std::size_t field) override {
    const File& file = file_of(row);
    return fmt::format("{}: variable {}, row {}", file.file->path(), file.variables[field].name,
                       row - file.begin);
  }

 private:
  struct File {
    std::unique_ptr<NetcdfFile> file;
    std::int64_t begin = 0, rows = 0;
    std::vector<Variable> variables;
  };

  static std::vector<SourceField> fields_of(const File& file) {
    std::vector<SourceField> fields;
    for (const Variable& v : file.variables)
      fields.push_back({{v.name, v.dtype, v.sample}, "", false, {}, {}, v.unit});
    return fields;
  }

  void read_run(const NetcdfFile& file, const Variable& v, std::int64_t first, std::int64_t count,
                std::byte* out, std::span<std::uint8_t> missing) {
    const std::int64_t elements = count * v.sample.elements();
    const bool plain = v.dtype == v.stored && !v.unpacked();
    if (plain && v.nothing.empty()) return file.read(v, first, count, out);
    raw_.resize(static_cast<std::size_t>(elements) * size_of(v.stored));
    values_.resize(static_cast<std::size_t>(elements));
    file.read(v, first, count, raw_.data());
    if (plain) std::memcpy(out, raw_.data(), raw_.size());
    to_doubles(v.stored, raw_.data(), elements, values_.data());
    for (std::int64_t e = 0; e < elements; ++e) {
      double value = values_[static_cast<std::size_t>(e)];
      const bool none = std::find(v.nothing.begin(), v.nothing.end(), value) != v.nothing.end();
      if (none && !is_float(v.dtype))
        missing[static_cast<std::size_t>(e / v.sample.elements())] = 1;
      if (plain && (!none || !is_float(v.dtype))) continue;
      value = value * v.scale.value_or(1) + v.offset.value_or(0);
      store(v.dtype, none ? std::numeric_limits<double>::quiet_NaN() : value, e, out);
    }
  }

  static void store(DType dtype, double value, std::int64_t element, std::byte* out) {
    if (dtype == DType::kF64) {
      std::memcpy(out + static_cast<std::size_t>(element) * sizeof value, &value, sizeof value);
      return;
    }
    const auto narrow = static_cast<float>(value);
    std::memcpy(out + static_cast<std::size_t>(element) * sizeof narrow, &narrow, sizeof narrow);
  }

  File& file_of(std::int64_t row) {
    const auto next = std::upper_bound(files_.begin(), files_.end(), row,
                                       [](std::int64_t r, const File& f) { return r < f.begin; });
    return *std::prev(next);
  }
  std::vector<File> files_;
  std::int64_t begin_of_next_ = 0;
  std::vector<std::byte> raw_;
  std::vector<double> values_;
};

}  // namespace

Sources open_netcdf(const ImportOptions& options) {
  auto train = std::make_unique<NetcdfFiles>(options, options.train);
  Sources sources;
  sources.description.fields = train->fields();
  sources.description.fields.front().role = "input";
  if (!options.target.empty())
    settle_target(options, train->name(), sources.description.fields.back());
  if (!options.test.empty()) {
    auto test = std::make_unique<NetcdfFiles>(options, options.test);
    require_same_fields(sources.description.fields, train->name(), test->fields(), test->name());
    sources.test = std::move(test);
  }
  sources.train = std::move(train);
  return sources;
}

}  // namespace lockstep::data
