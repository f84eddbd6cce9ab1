// Messages between two ranks, as the OSU micro-benchmarks define their figures.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <span>

#include "bench/comm_parts.h"
#include "bench/rank_device.h"
#include "lockstep/comm/byte_messages.h"
#include "lockstep/core/units.h"

namespace lockstep::bench {
namespace {

constexpr std::int64_t kWindowBytes = 16 << 20, kMostMessages = 64;
constexpr int kData = 0, kReply = 1, kRounds = 2;

// One side of a pair. Rounds of ByteMessages: what is sent, and what answers it.
class Side {
 public:
  Side(comm::ByteMessages& messages, int peer, bool asks, std::int64_t bytes)
      : messages_(messages), peer_(peer), asks_(asks), out_(bytes), in_(bytes) {}

  void ping_pong() {
    if (asks_) send(kData, out_);
    receive(kData, in_);
    if (!asks_) send(kData, out_);
  }
  void one_way(std::int64_t count) {
    if (asks_) {
      for (std::int64_t i = 0; i < count; ++i) post_send(kData, out_);
      finish(kData);
      receive(kReply, reply_);
    } else {
      for (std::int64_t i = 0; i < count; ++i) post_receive(kData, in_);
      finish(kData);
      send(kReply, reply_);
    }
  }
  void both_ways(std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) post_receive(kData, in_);
    for (std::int64_t i = 0; i < count; ++i) post_send(kData, out_);
    finish(kData);
  }

  void fill() {
    for (std::size_t i = 0; i < out_.size(); ++i) out_[i] = pattern(i, asks_);
    std::ranges::fill(in_, std::byte{0x5a});
  }
  std::string check(bool received) const {
    if (!received) return {};
    for (std::size_t i = 0; i < in_.size(); ++i)
      if (in_[i] != pattern(i, !asks_))
        return fmt::format("byte {} of a message of {} arrived wrong", i, in_.size());
    return {};
  }
  bool asks() const { return asks_; }

 private:
  using Bytes = std::vector<std::byte>;
  static std::byte pattern(std::size_t i, bool asks) {
    return static_cast<std::byte>(i * 31 + (asks ? 7 : 101));
  }
  void post_send(int round, Bytes& bytes) {
    const std::span<std::byte> piece(bytes);
    messages_.send(round, peer_, std::span(&piece, 1));
  }
  void post_receive(int round, Bytes& bytes) {
    const std::span<std::byte> piece(bytes);
    messages_.receive(round, peer_, std::span(&piece, 1));
  }
  void finish(int round) {
    messages_.wait("a message that is timed", -1,
                   [&] { return messages_.received(round) && messages_.sent(round); });
  }
  void send(int round, Bytes& bytes) {
    post_send(round, bytes);
    finish(round);
  }
  void receive(int round, Bytes& bytes) {
    post_receive(round, bytes);
    finish(round);
  }

  comm::ByteMessages& messages_;
  const int peer_;
  const bool asks_;
  Bytes out_, in_, reply_ = Bytes(4);
};

}  // namespace

std::vector<PairAt> pairs_of(const comm::Topology& topology) {
  std::vector<PairAt> pairs;
  for (int node = 0; node < topology.nodes() && pairs.empty(); ++node) {
    const int first = topology.node_begin[node];
    if (topology.node_begin[node + 1] - first > 1) pairs.push_back({"node", first, first + 1});
  }
  if (topology.nodes() > 1) pairs.push_back({"network", 0, topology.node_begin[1]});
  return pairs;
}

std::int64_t messages_of_window(std::int64_t bytes) {
  return std::clamp<std::int64_t>(kWindowBytes / bytes, 1, kMostMessages);
}

Row measure_messages(comm::Communicator& communicator, const PairAt& pair, Talk talk,
                     std::int64_t bytes, double seconds) {
  const int position = communicator.topology().position;
  const std::int64_t count = talk == Talk::kPingPong ? 1 : messages_of_window(bytes);
  const auto messages =
      comm::make_byte_messages(communicator, kRounds, static_cast<int>(count));
  std::unique_ptr<Side> side;
  if (position == pair.asks)
    side = std::make_unique<Side>(*messages, pair.answers, true, bytes);
  else if (position == pair.answers)
    side = std::make_unique<Side>(*messages, pair.asks, false, bytes);
  const auto work = [&] {
    if (!side) return;
    if (talk == Talk::kPingPong) side->ping_pong();
    if (talk == Talk::kOneWay) side->one_way(count);
    if (talk == Talk::kBothWays) side->both_ways(count);
  };
  Row row;
  row.name = fmt::format("{}, {}", bytes_text(static_cast<double>(bytes)), pair.level);
  if (side) side->fill();
  work();
  row.verified =
      agreed(communicator, side ? side->check(talk != Talk::kOneWay || !side->asks()) : "");
  row.time = measure(communicator, work, {.seconds = seconds, .together = true});
  if (talk == Talk::kPingPong) {
    row.figures.push_back({"latency", "s", row.time.median / 2});
  } else {
    const double moved = static_cast<double>(bytes * count) * (talk == Talk::kBothWays ? 2 : 1);
    row.figures.push_back({"messages", "", static_cast<double>(count)});
    row.figures.push_back({"bandwidth", "B/s", moved / row.time.median});
  }
  return row;
}

}  // namespace lockstep::bench
