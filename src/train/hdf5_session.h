// The door to HDF5 for train: one lock for the process, no error stack on stderr, handles that
// close themselves. Knows nothing of checkpoints.
#pragma once
#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

namespace lockstep::train {

// Held around every HDF5 call. While it lives HDF5 prints nothing: errors become our own sentences.
class Hdf5Session {
 public:
  Hdf5Session();
  ~Hdf5Session();
  Hdf5Session(const Hdf5Session&) = delete;
  Hdf5Session& operator=(const Hdf5Session&) = delete;

 private:
  std::unique_lock<std::mutex> lock_;
  H5E_auto2_t print_ = nullptr;
  void* print_data_ = nullptr;
};

// The innermost reason on HDF5's error stack, as text.
std::string hdf5_reason();

class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  explicit operator bool() const { return id_ >= 0; }
  hid_t get() const { return id_; }
  bool close() { return close_(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_;
  Close close_;
};

}  // namespace lockstep::train
