#include "hdf5.h"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

static_assert(std::endian::native == std::endian::little,
              "byte orders are handled for little endian");

herr_t keep_innermost(unsigned n, const H5E_error2_t* error, void* text) {
  if (n == 0 && error->desc != nullptr) *static_cast<std::string*>(text) = error->desc;
  return 0;
}

}  // namespace

std::mutex& hdf5_mutex() {
  static std::mutex mutex;
  return mutex;
}

// Debian's packages of plugins put them where no HDF5 of Debian looks.
std::string plugin_folder() {
  constexpr const char* kDebian[] = {"/usr/lib/x86_64-linux-gnu/hdf5/serial/plugins",
                                     "/usr/lib/aarch64-linux-gnu/hdf5/serial/plugins"};
  if (const char* set = std::getenv("HDF5_PLUGIN_PATH")) return set;
  std::error_code ignored;
  for (const char* folder : kDebian)
    if (std::filesystem::is_directory(folder, ignored)) return folder;
  return "/usr/local/hdf5/lib/plugin";
}

Hdf5Lock::Hdf5Lock() : lock_(hdf5_mutex()) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  static const bool told = [] {
    return std::getenv("HDF5_PLUGIN_PATH") == nullptr && H5PLappend(plugin_folder().c_str()) >= 0;
  }();
  static_cast<void>(told);
}

std::string hdf5_reason() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &text);
  H5Eclear2(H5E_DEFAULT);
  return text;
}

std::string text_attribute(hid_t object, const char* name, const std::string& where) {
  if (H5Aexists(object, name) <= 0) {
    hdf5_reason();
    return {};
  }
  const Handle attribute(H5Aopen(object, name, H5P_DEFAULT), H5Aclose);
  const Handle type(attribute ? H5Aget_type(attribute.get()) : -1, H5Tclose);
  char* text = nullptr;
  if (!type || H5Tis_variable_str(type.get()) <= 0)
    throw DataError("{}: attribute {} is not a text; import the file again", where, name);
  if (H5Aread(attribute.get(), type.get(), &text) < 0 || text == nullptr)
    throw DataError("{}: cannot read attribute {} ({})", where, name, hdf5_reason());
  std::string copy(text);
  H5free_memory(text);
  return copy;
}

bool write_text_attribute(hid_t object, const char* name, const std::string& text) {
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), H5T_VARIABLE);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  Handle attribute(
      H5Acreate2(object, name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  const char* bytes = text.c_str();
  return attribute && H5Awrite(attribute.get(), type.get(), &bytes) >= 0 && attribute.close();
}

std::optional<DType> dtype_of(hid_t type) {
  const std::size_t size = H5Tget_size(type);
  const H5T_class_t kind = H5Tget_class(type);
  if (kind == H5T_ENUM) {  // truth values and named numbers: by the number
    const Handle base(H5Tget_super(type), H5Tclose);
    return dtype_of(base.get());
  }
  if (kind != H5T_INTEGER && kind != H5T_FLOAT) return std::nullopt;
  const H5T_order_t order = H5Tget_order(type);
  if (order != H5T_ORDER_LE && order != H5T_ORDER_BE) return std::nullopt;
  if (H5Tget_precision(type) != size * 8 || H5Tget_offset(type) != 0) return std::nullopt;
  if (kind == H5T_FLOAT) {
    std::size_t sign, exponent, exponent_bits, mantissa, mantissa_bits;
    if (H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa, &mantissa_bits) < 0)
      return std::nullopt;
    if (size == 2 && exponent_bits == 5 && mantissa_bits == 10) return DType::kF16;
    if (size == 4 && exponent_bits == 8 && mantissa_bits == 23) return DType::kF32;
    if (size == 8 && exponent_bits == 11 && mantissa_bits == 52) return DType::kF64;
    return std::nullopt;
  }
  const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
  switch (size) {
    case 1:
      return is_signed ? DType::kI8 : DType::kU8;
    case 2:
      return is_signed ? DType::kI16 : DType::kU16;
    case 4:
      return is_signed ? DType::kI32 : DType::kU32;
    case 8:
      return is_signed ? DType::kI64 : DType::kU64;
    default:
      return std::nullopt;
  }
}

bool is_big_endian(hid_t type) {
  if (H5Tget_class(type) == H5T_ENUM) {
    const Handle base(H5Tget_super(type), H5Tclose);
    return is_big_endian(base.get());
  }
  return H5Tget_size(type) > 1 && H5Tget_order(type) == H5T_ORDER_BE;
}

Handle native_type(DType type) {
  const auto copy = [](hid_t id) { return Handle(H5Tcopy(id), H5Tclose); };
  switch (type) {
    case DType::kF16: {  // IEEE 754 binary16
      Handle half = copy(H5T_IEEE_F32LE);
      H5Tset_fields(half.get(), 15, 10, 5, 0, 10);
      H5Tset_size(half.get(), 2);
      H5Tset_ebias(half.get(), 15);
      return half;
    }
    case DType::kF32:
      return copy(H5T_IEEE_F32LE);
    case DType::kF64:
      return copy(H5T_IEEE_F64LE);
    case DType::kU8:
      return copy(H5T_STD_U8LE);
    case DType::kI8:
      return copy(H5T_STD_I8LE);
    case DType::kU16:
      return copy(H5T_STD_U16LE);
    case DType::kI16:
      return copy(H5T_STD_I16LE);
    case DType::kU32:
      return copy(H5T_STD_U32LE);
    case DType::kI32:
      return copy(H5T_STD_I32LE);
    case DType::kU64:
      return copy(H5T_STD_U64LE);
    case DType::kI64:
      return copy(H5T_STD_I64LE);
    default:
      break;
  }
  LOCKSTEP_CHECK(false, "no file type for {}", name_of(type));
  return {};
}

namespace {

// HDF5's reason for a file that is shorter than its header says, in words.
std::string plain_reason(const std::string& reason) {
  unsigned long long there = 0, base = 0, whole = 0;
  if (std::sscanf(reason.c_str(),
                  "truncated file: eof = %llu, sblock->base_addr = %llu, stored_eof = %llu", &there,
                  &base, &whole) != 3)
    return reason;
  return fmt::format("truncated: {} of its {} bytes are there", there, base + whole);
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path, Hdf5 open) : path_(path) {
  // The plain reason first: HDF5's own words for a missing file are of no use to anybody.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0)
    throw UserError("cannot open the data file {}: {}; set data.path, or put the file there",
                    path.string(), std::strerror(errno));
  if (open == Hdf5::kWhenNeeded) return;
  Hdf5Lock lock;
  try {
    id();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

hid_t InputFile::id() const {
  if (file_) return file_.get();
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_sec2(access.get());
  // Locks fail on many shared file systems, and nobody writes these files in place.
  H5Pset_file_locking(access.get(), false, true);
  file_ = Handle(H5Fopen(path_.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  if (!file_)
    throw DataError("{} is not a readable HDF5 file ({}); copy or import it again", path_.string(),
                    plain_reason(hdf5_reason()));
  return file_.get();
}

InputFile::~InputFile() {
  if (file_) {
    Hdf5Lock lock;
    file_.close();
  }
  ::close(descriptor_);
}

}  // namespace lockstep::data
