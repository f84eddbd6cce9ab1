// A node's shared memory: one file of /dev/shm without a name, so that a crash leaves nothing
// behind. A window is such a file cut into a page-aligned part per rank. Knows nothing of what lies
// in it.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "pages.h"

namespace lockstep::comm {

class MpiCommunicator;

class PrivateWindow final : public SharedWindow {
 public:
  explicit PrivateWindow(std::size_t bytes) : pages_(bytes), bytes_(bytes) {}
  std::byte* part(int) const override { return pages_.data(); }
  std::size_t bytes(int) const override { return bytes_; }

 private:
  Pages pages_;
  std::size_t bytes_;
};

struct ByteRange {
  std::int64_t begin = 0, end = 0;
};

// A file of `bytes`, mapped whole by each rank of the node. Each reserves the ranges of whole pages
// that it names, so that they lie on its memory node and a lack of space is an error now and not a
// SIGBUS at the first touch; what no rank reserves costs nothing and must not be touched.
// Collective over the node; throws the same UserError on all its ranks.
Pages make_shared_pages(MpiCommunicator& communicator, std::int64_t bytes,
                        std::span<const ByteRange> mine, const std::string& purpose);

// The same with a part of its own for each rank.
std::unique_ptr<SharedWindow> make_shared_window(MpiCommunicator& communicator, std::size_t bytes,
                                                 const std::string& purpose);

// As if /dev/shm had only so many bytes free; for tests. Negative: no such limit.
void set_shared_memory_limit(std::int64_t bytes);

}  // namespace lockstep::comm
