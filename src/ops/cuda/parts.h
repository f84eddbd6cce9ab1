// Cuts an op's memory into parts that libraries and kernels take: each starts on 256 bytes,
// wherever the program has put the whole.
#pragma once
#include <cstddef>
#include <cstdint>

namespace lockstep::ops {

class Parts {
 public:
  // Of `bytes`; at() finds it. No bytes: at() gives null.
  struct Part {
    std::size_t begin = 0, bytes = 0;
  };
  Part add(std::size_t bytes) {
    const Part part{bytes_, bytes};
    bytes_ += line_up(bytes);
    return part;
  }
  std::size_t bytes() const { return bytes_ > 0 ? bytes_ + kLine : 0; }

  template <class T>
  static T* at(const void* whole, Part part) {
    if (part.bytes == 0) return nullptr;
    return reinterpret_cast<T*>(line_up(reinterpret_cast<std::uintptr_t>(whole)) + part.begin);
  }

 private:
  static constexpr std::size_t kLine = 256;
  static constexpr std::uintptr_t line_up(std::uintptr_t n) {
    return (n + kLine - 1) / kLine * kLine;
  }

  std::size_t bytes_ = 0;
};

}  // namespace lockstep::ops
