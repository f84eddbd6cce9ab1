// A device in the host's memory whose streams are late: work is queued, and done only when somebody
// looks (Event::done) or waits, one piece at a time, from streams in an order drawn by a seed. What
// forgets a wait gives wrong numbers here without any GPU. Its memory can be opened by peers.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <vector>

#include "lockstep/device/device.h"
#include "lockstep/device/tree_arithmetic.h"

namespace lockstep::test {

class LateDevice final : public Device {
 public:
  explicit LateDevice(std::uint64_t seed, bool peers = true) : random_(seed), peers_(peers) {}
  ~LateDevice() override;

  DeviceKind kind() const override { return DeviceKind::kCpu; }
  bool is_host() const override { return false; }
  std::string name() const override { return "late"; }
  Buffer allocate(std::size_t bytes, std::string_view purpose) override;
  Buffer allocate_on_host(std::size_t bytes, std::string_view purpose) override;
  void release(void* data, std::size_t bytes, bool on_host) noexcept override;
  std::unique_ptr<Stream> make_stream() override;
  std::unique_ptr<Event> make_event() override;
  void copy(void* to, const void* from, std::size_t bytes, Stream& stream) override;
  void fill(void* to, int byte, std::size_t bytes, Stream& stream) override;
  bool captures() const override { return true; }
  std::vector<std::byte> export_memory(const void* data) override;
  std::unique_ptr<PeerMemory> open_peer(std::span<const std::byte> handle,
                                        std::string& refusal) override;
  bool pin(void* data, std::size_t bytes) override;
  void unpin(void* data) noexcept override;

  // Gives work to a stream of this device, as a kernel's launch does.
  void give(Stream& stream, std::function<void()> work);

 private:
  friend class LateStream;
  friend class LateEvent;
  struct Point {  // of an event: how often it was recorded, and how many of these are done
    std::int64_t recorded = 0, done = 0;
  };
  struct Work {
    std::function<void()> run;  // or
    std::shared_ptr<Point> records, awaits;
    std::int64_t awaited = 0;
  };
  using Queue = std::deque<Work>;

  std::byte* make(std::size_t bytes);
  void enqueue(Queue& queue, Work work);
  bool run_one();  // false: nothing can run
  void run_until(const std::function<bool()>& done);
  bool async(const void* at) const;

  std::mutex mutex_;
  std::mt19937_64 random_;
  const bool peers_;
  std::vector<Queue*> queues_;
  int burst_ = 0;  // pieces that the last stream may still do in a row
  std::size_t last_ = 0;
  struct Memory {
    std::size_t bytes = 0;
    int fd = -1;  // -1: pinned memory of others
  };
  std::map<const std::byte*, Memory> memory_;
};

// Plain loops, given to a LateDevice.
class LateArithmetic final : public TreeArithmetic {
 public:
  explicit LateArithmetic(LateDevice& device) : device_(device) {}
  void fold(const Tree& tree, const TreeBlock* blocks, int count, double* values,
            Stream& stream) override;
  void round_to_bf16(float* dst, const float* x, std::int64_t n, Stream& stream) override;
  void pack_bf16(std::uint16_t* dst, const float* x, std::int64_t n, Stream& stream) override;

 private:
  LateDevice& device_;
};

}  // namespace lockstep::test
