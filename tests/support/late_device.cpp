#include "support/late_device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

#include "lockstep/core/error.h"

namespace lockstep::test {
namespace {

std::byte* map(int fd, std::size_t bytes) {
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  LOCKSTEP_CHECK(at != MAP_FAILED, "no memory for the late device");
  return static_cast<std::byte*>(at);
}

struct Handle {
  char file[64];
  std::size_t bytes;
};

class LatePeer final : public PeerMemory {
 public:
  LatePeer(int fd, std::size_t bytes) : data_(map(fd, bytes)), bytes_(bytes) {}
  ~LatePeer() override { ::munmap(data_, bytes_); }
  void* data() const override { return data_; }

 private:
  std::byte* data_;
  std::size_t bytes_;
};

// As the vector loops: 16 accumulators, then lanes i and i + 8, i + 4, i + 2, i + 1.
double sum_of_squares(const float* x, std::int64_t n) {
  double total[16] = {};
  for (std::int64_t i = 0; i < n; ++i) total[i % 16] += static_cast<double>(x[i]) * x[i];
  for (int distance = 8; distance > 0; distance /= 2) {
    for (int i = 0; i < distance; ++i) total[i] += total[i + distance];
  }
  return total[0];
}

}  // namespace

class LateStream final : public Stream {
 public:
  explicit LateStream(LateDevice& device) : device_(device) {
    const std::lock_guard lock(device_.mutex_);
    device_.queues_.push_back(&queue_);
  }
  ~LateStream() override {
    synchronize();
    const std::lock_guard lock(device_.mutex_);
    std::erase(device_.queues_, &queue_);
    device_.burst_ = 0;
  }
  void synchronize() override {
    const std::lock_guard lock(device_.mutex_);
    device_.run_until([this] { return queue_.empty(); });
  }
  void begin_capture() override { captured_ = std::make_unique<Captured>(); }
  std::unique_ptr<Graph> end_capture() override { return std::move(captured_); }
  bool capturing() const override { return captured_ != nullptr; }
  void launch(Graph& graph) override {
    for (const LateDevice::Work& work : static_cast<Captured&>(graph).work) give(work);
  }
  void give(LateDevice::Work work) {
    if (captured_) {
      captured_->work.push_back(std::move(work));
    } else {
      device_.enqueue(queue_, std::move(work));
    }
  }

 private:
  struct Captured final : Graph {
    std::vector<LateDevice::Work> work;
  };
  LateDevice& device_;
  LateDevice::Queue queue_;
  std::unique_ptr<Captured> captured_;
};

class LateEvent final : public Event {
 public:
  explicit LateEvent(LateDevice& device) : device_(device) {}
  void record(Stream& stream) override {
    static_cast<LateStream&>(stream).give({nullptr, point_, nullptr, 0});
  }
  void wait(Stream& stream) override {
    static_cast<LateStream&>(stream).give({nullptr, nullptr, point_, 0});
  }
  bool done() override {
    const std::lock_guard lock(device_.mutex_);
    if (device_.random_() % 2 == 0) device_.run_one();
    return point_->done == point_->recorded;
  }
  void synchronize() override {
    const std::lock_guard lock(device_.mutex_);
    device_.run_until([this] { return point_->done == point_->recorded; });
  }

 private:
  LateDevice& device_;
  std::shared_ptr<LateDevice::Point> point_ = std::make_shared<LateDevice::Point>();
};

LateDevice::~LateDevice() = default;

void LateDevice::enqueue(Queue& queue, Work work) {
  const std::lock_guard lock(mutex_);
  if (work.records) ++work.records->recorded;
  if (work.awaits) work.awaited = work.awaits->recorded;
  queue.push_back(std::move(work));
}

// Long runs of one stream and fair turns, both.
bool LateDevice::run_one() {
  const auto can_run = [](const Queue& queue) {
    if (queue.empty()) return false;
    const Work& work = queue.front();
    return !work.awaits || work.awaits->done >= work.awaited;
  };
  if (burst_ == 0 || !can_run(*queues_[last_])) {
    std::vector<std::size_t> able;
    for (std::size_t i = 0; i < queues_.size(); ++i) {
      if (can_run(*queues_[i])) able.push_back(i);
    }
    if (able.empty()) return false;
    last_ = able[random_() % able.size()];
    burst_ = static_cast<int>(1 + random_() % 20);
  }
  --burst_;
  Queue& queue = *queues_[last_];
  const Work work = std::move(queue.front());
  queue.pop_front();
  if (work.run) work.run();
  if (work.records) ++work.records->done;
  return true;
}

void LateDevice::run_until(const std::function<bool()>& done) {
  while (!done()) LOCKSTEP_CHECK(run_one(), "streams of the late device wait for each other");
}

std::byte* LateDevice::make(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  const int fd = ::memfd_create("late", 0);
  LOCKSTEP_CHECK(fd >= 0 && ::ftruncate(fd, static_cast<off_t>(bytes)) == 0, "no memory file");
  std::byte* const data = map(fd, bytes);
  const std::lock_guard lock(mutex_);
  memory_[data] = {bytes, fd};
  return data;
}

Buffer LateDevice::allocate(std::size_t bytes, std::string_view) {
  return Buffer(*this, make(bytes), bytes);
}

Buffer LateDevice::allocate_on_host(std::size_t bytes, std::string_view) {
  return Buffer(*this, make(bytes), bytes, true);
}

void LateDevice::release(void* data, std::size_t bytes, bool) noexcept {
  if (data == nullptr) return;
  const std::lock_guard lock(mutex_);
  while (run_one()) {
  }
  const auto found = memory_.find(static_cast<std::byte*>(data));
  ::close(found->second.fd);
  ::munmap(data, bytes);
  memory_.erase(found);
}

std::unique_ptr<Stream> LateDevice::make_stream() { return std::make_unique<LateStream>(*this); }
std::unique_ptr<Event> LateDevice::make_event() { return std::make_unique<LateEvent>(*this); }

void LateDevice::give(Stream& stream, std::function<void()> work) {
  static_cast<LateStream&>(stream).give({std::move(work), nullptr, nullptr, 0});
}

bool LateDevice::async(const void* at) const {
  const auto* const byte = static_cast<const std::byte*>(at);
  const auto next = memory_.upper_bound(byte);
  if (next == memory_.begin()) return false;
  const auto& [begin, memory] = *std::prev(next);
  return byte < begin + memory.bytes;
}

void LateDevice::copy(void* to, const void* from, std::size_t bytes, Stream& stream) {
  give(stream, [=] { std::memcpy(to, from, bytes); });
  bool async_both = false;
  {
    const std::lock_guard lock(mutex_);
    async_both = async(to) && async(from);
  }
  if (!async_both) stream.synchronize();
}

void LateDevice::fill(void* to, int byte, std::size_t bytes, Stream& stream) {
  give(stream, [=] { std::memset(to, byte, bytes); });
}

std::vector<std::byte> LateDevice::export_memory(const void* data) {
  const std::lock_guard lock(mutex_);
  const Memory& memory = memory_.at(static_cast<const std::byte*>(data));
  Handle handle{};
  fmt::format_to_n(handle.file, sizeof handle.file - 1, "/proc/{}/fd/{}", ::getpid(), memory.fd);
  handle.bytes = memory.bytes;
  const auto bytes = std::as_bytes(std::span(&handle, 1));
  return {bytes.begin(), bytes.end()};
}

std::unique_ptr<PeerMemory> LateDevice::open_peer(std::span<const std::byte> bytes,
                                                  std::string& refusal) {
  Handle handle;
  std::memcpy(&handle, bytes.data(), sizeof handle);
  std::FILE* const file = peers_ ? std::fopen(handle.file, "r+") : nullptr;
  if (file == nullptr) {
    refusal = "no peers here";
    return nullptr;
  }
  auto peer = std::make_unique<LatePeer>(::fileno(file), handle.bytes);
  std::fclose(file);
  return peer;
}

bool LateDevice::pin(void* data, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  memory_[static_cast<std::byte*>(data)] = {bytes, -1};
  return true;
}

void LateDevice::unpin(void* data) noexcept {
  const std::lock_guard lock(mutex_);
  memory_.erase(static_cast<std::byte*>(data));
}

// Finite numbers only.
void LateArithmetic::round_to_bf16(float* dst, const float* x, std::int64_t n, Stream& stream) {
  device_.give(stream, [=] {
    for (std::int64_t i = 0; i < n; ++i) {
      const auto bits = std::bit_cast<std::uint32_t>(x[i]);
      dst[i] = std::bit_cast<float>((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
    }
  });
}

void LateArithmetic::pack_bf16(std::uint16_t* dst, const float* x, std::int64_t n, Stream& stream) {
  device_.give(stream, [=] {
    for (std::int64_t i = 0; i < n; ++i)
      dst[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x[i]) >> 16);
  });
}

void LateArithmetic::fold(const Tree& tree, const TreeBlock* blocks, int count, double* values,
                          Stream& stream) {
  std::vector<const float*> sources(tree.sources.begin(), tree.sources.end());
  std::vector<std::uint8_t> merges(tree.merges.begin(), tree.merges.end());
  std::vector<float*> outs(tree.outs.begin(), tree.outs.end());
  device_.give(stream, [=] {
    std::vector<float> stack;
    for (int i = 0; i < count; ++i) {
      const TreeBlock block = blocks[i];
      for (std::int64_t e = block.begin; e < block.begin + block.elements; ++e) {
        stack.clear();
        for (std::size_t s = 0; s < sources.size(); ++s) {
          stack.push_back(sources[s][e]);
          for (int m = 0; m < merges[s]; ++m) {
            const float right = stack.back();
            stack.pop_back();
            stack.back() += right;
          }
        }
        for (std::size_t o = 0; o < outs.size(); ++o) outs[o][e] = stack[o];
      }
      if (values != nullptr) values[i] = sum_of_squares(outs[0] + block.begin, block.elements);
    }
  });
}

}  // namespace lockstep::test
