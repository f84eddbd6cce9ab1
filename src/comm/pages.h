// Page-aligned memory from the system: zero, and touched first by whoever writes it first.
#pragma once
#include <cstddef>
#include <utility>

namespace lockstep::comm {

inline constexpr std::size_t kPage = 4096;
inline std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

class Pages {
 public:
  Pages() = default;
  explicit Pages(std::size_t bytes);  // private; throws UserError if there is not enough memory
  Pages(int fd, std::size_t bytes);   // shared, of an open file
  Pages(Pages&& other) noexcept { swap(other); }
  Pages& operator=(Pages&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Pages();

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void swap(Pages& other) {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace lockstep::comm
