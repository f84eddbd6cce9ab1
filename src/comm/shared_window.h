// A node's shared memory: one file under /dev/shm, a page-aligned part per rank, unlinked as soon
// as all have it open, so that a crash leaves nothing behind. Knows nothing of what lies in it.
#pragma once
#include <cstdint>
#include <memory>
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

// Collective over the node; throws the same UserError on all its ranks.
std::unique_ptr<SharedWindow> make_shared_window(MpiCommunicator& communicator, std::size_t bytes,
                                                 const std::string& purpose);

// As if /dev/shm had only so many bytes free; for tests. Negative: no such limit.
void set_shared_memory_limit(std::int64_t bytes);

}  // namespace lockstep::comm
