#include "pages.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/core/units.h"

namespace lockstep::comm {
namespace {

std::byte* map(std::size_t bytes, int flags, int fd) {
  void* const address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (address == MAP_FAILED) {
    throw UserError("cannot map {} of memory ({}): use fewer ranks on this node or a smaller model",
                    bytes_text(static_cast<double>(bytes)), std::strerror(errno));
  }
  ::madvise(address, bytes, MADV_HUGEPAGE);  // where the system offers them; fewer TLB misses
  return static_cast<std::byte*>(address);
}

}  // namespace

Pages::Pages(std::size_t bytes) : bytes_(round_up(bytes, kPage)) {
  if (bytes_ > 0) data_ = map(bytes_, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
}

Pages::Pages(int fd, std::size_t bytes) : bytes_(bytes) {
  if (bytes_ > 0) data_ = map(bytes_, MAP_SHARED, fd);
}

Pages::~Pages() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

}  // namespace lockstep::comm
