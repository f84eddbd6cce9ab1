// The one door to HDF5: every call happens while an Hdf5Lock lives. Handles close themselves, and
// must die under the lock. Knows no fields and no manifest.
#pragma once
#include <hdf5.h>

#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "lockstep/core/dtype.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

// What H5Oget_info2() fills: with an address and a number of the file.
#if H5_VERSION_GE(1, 12, 0)
using ObjectInfo = H5O_info1_t;
#else
using ObjectInfo = H5O_info_t;
#endif

// Where HDF5 looks for filters that it does not have: $HDF5_PLUGIN_PATH, or else Debian's folder of
// them where it is there, or what HDF5 was built with.
std::string plugin_folder();

// Holds hdf5_mutex() and keeps HDF5 from printing its error stack.
class Hdf5Lock {
 public:
  Hdf5Lock();

 private:
  std::scoped_lock<std::mutex> lock_;
};

// An identifier with its own way to be closed. Falsy when the call that made it failed.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    reset();
    id_ = std::exchange(other.id_, -1);
    close_ = other.close_;
    return *this;
  }
  ~Handle() { reset(); }
  hid_t get() const { return id_; }
  explicit operator bool() const { return id_ >= 0; }
  // Closes now; false if HDF5 reports a failure (a file's last bytes may be written here).
  bool close() { return id_ < 0 || close_(std::exchange(id_, -1)) >= 0; }

 private:
  void reset() { close(); }
  hid_t id_ = -1;
  Close close_ = nullptr;
};

// The innermost message of HDF5's error stack, which is cleared; "" if there is none.
std::string hdf5_reason();

// The text of an object's attribute; "" if it has none. Throws DataError naming `where`.
std::string text_attribute(hid_t object, const char* name, const std::string& where);

// Of variable length: those of a fixed length end at 64 KiB. False if HDF5 fails.
bool write_text_attribute(hid_t object, const char* name, const std::string& text);

// The element type, if it is an integer or IEEE float whose every bit counts.
std::optional<DType> dtype_of(hid_t type);
bool is_big_endian(hid_t type);
Handle native_type(DType type);  // in memory, in this machine's byte order

// An open data file: read-only, POSIX driver, locking off.
class InputFile {
 public:
  enum class Hdf5 : std::uint8_t {
    kNow,
    kWhenNeeded  // by id(): readers that know where the bytes lie never need it
  };
  // Takes the lock; throws UserError if there is no such file, DataError if it is no HDF5.
  explicit InputFile(const std::filesystem::path& path, Hdf5 open = Hdf5::kNow);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  hid_t id() const;  // under the lock; throws DataError
  int descriptor() const { return descriptor_; }  // for pread at addresses that HDF5 gave
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  mutable Handle file_;
  int descriptor_ = -1;
};

}  // namespace lockstep::data
