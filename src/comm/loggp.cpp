// Overheads, gap and bandwidth of a link. The rank that asks says what comes next; both sides then
// send and receive alike, so that no message is in flight when the next order is given.
#include <algorithm>
#include <cstring>
#include <vector>

#include "link_pairs.h"
#include "lockstep/comm/links.h"
#include "lockstep/core/clock.h"
#include "mpi_call.h"
#include "mpi_communicator.h"

namespace lockstep::comm {
namespace {

constexpr int kOrders = 0, kMessages = 1, kAcknowledgements = 2;  // tags
constexpr int kSmall = 8, kLarge = 1 << 20;                       // bytes of a message
constexpr int kBurst = 64, kWindow = 8;                           // messages before an answer
constexpr int kLeast = 7, kMost = 4000;                           // repetitions

enum class Kind : int { kEnd, kPingPong, kBurst, kGift };
struct Order {
  Kind kind = Kind::kEnd;
  int bytes = 0, count = 0;
};

// The best of all, for whatever disturbs a message only adds to its time; seconds: the least.
LogGp::Measured best_of(std::vector<double> values, bool seconds) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const auto at = [&](double part) {
    return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
  };
  return {at(seconds ? 0 : 1), at(0.5) > 0 ? (at(0.75) - at(0.25)) / at(0.5) : 0};
}

class LinkMeter {
 public:
  LinkMeter(MpiCommunicator& communicator, MPI_Comm messages, int peer, double seconds)
      : communicator_(communicator),
        messages_(messages),
        peer_(peer),
        seconds_(seconds),
        sent_(kWindow * static_cast<std::size_t>(kLarge)),
        received_(sent_.size()) {
    for (std::size_t i = 0; i < sent_.size(); ++i) sent_[i] = static_cast<std::byte>(i * 7 >> 3);
  }

  LogGp ask() {
    LogGp found;
    const std::vector<double> there_and_back = repeat({Kind::kPingPong, kSmall, kBurst});
    std::vector<double> posts, takes;
    repeat({Kind::kGift, kSmall, kBurst}, &takes);
    const std::vector<double> bursts = repeat({Kind::kBurst, kSmall, kBurst}, &posts);
    const std::vector<double> windows = repeat({Kind::kBurst, kLarge, kWindow});
    found.verified = intact_;
    give({});

    std::vector<double> overheads(std::min(posts.size(), takes.size())), gaps, rates;
    for (std::size_t i = 0; i < overheads.size(); ++i)
      overheads[i] = (posts[i] + takes[i]) / (2 * kBurst);
    for (const double seconds : bursts) gaps.push_back(seconds / kBurst);
    for (const double seconds : windows) rates.push_back(double{kWindow} * kLarge / seconds);
    found.overhead = best_of(overheads, true);
    // Noise may drown the difference: a tenth of the time at least is the link's own.
    const LogGp::Measured half = best_of(there_and_back, true);
    found.latency = {std::max(half.value / 2 - 2 * found.overhead.value, half.value / 20),
                     half.spread};
    found.gap = best_of(gaps, true);
    found.bandwidth = best_of(rates, false);
    return found;
  }

  // Large messages alone, for the sum over pairs.
  LogGp::Measured ask_bandwidth() {
    std::vector<double> rates;
    for (const double seconds : repeat({Kind::kBurst, kLarge, kWindow}))
      rates.push_back(double{kWindow} * kLarge / seconds);
    give({});
    return best_of(rates, false);
  }

  void answer() {
    while (true) {
      Order order;
      complete(receive(&order, sizeof order, kOrders));
      if (order.kind == Kind::kEnd) return;
      if (order.kind == Kind::kPingPong) {
        for (int i = 0; i <= order.count; ++i) {  // the first one is not timed
          complete(receive(received_.data(), order.bytes, kMessages));
          complete(send(received_.data(), order.bytes, kMessages));
        }
      } else if (order.kind == Kind::kBurst) {
        requests_.clear();
        for (int i = 0; i < order.count; ++i)
          requests_.push_back(receive(at(received_, order, i), order.bytes, kMessages));
        complete(send(received_.data(), 1, kAcknowledgements));  // ready
        for (const MPI_Request request : requests_) complete(request);
        const std::byte whole{arrived(order)};
        complete(send(&whole, 1, kAcknowledgements));
      } else {
        for (int i = 0; i < order.count; ++i)
          complete(send(at(sent_, order, i), order.bytes, kMessages));
        complete(send(received_.data(), 1, kAcknowledgements));
      }
    }
  }

 private:
  static std::byte* at(std::vector<std::byte>& buffer, const Order& order, int message) {
    return buffer.data() + static_cast<std::size_t>(message) * order.bytes;
  }
  bool arrived(const Order& order) const {
    return std::memcmp(sent_.data(), received_.data(),
                       static_cast<std::size_t>(order.count) * order.bytes) == 0;
  }

  // Seconds of each repetition; and of its posting or taking alone.
  std::vector<double> repeat(const Order& order, std::vector<double>* part = nullptr) {
    std::vector<double> all;
    once(order);
    const double start = seconds_now();
    while (static_cast<int>(all.size()) < kLeast ||
           (seconds_now() - start < seconds_ && static_cast<int>(all.size()) < kMost)) {
      const auto [whole, own] = once(order);
      all.push_back(whole);
      if (part != nullptr) part->push_back(own);
    }
    return all;
  }

  std::pair<double, double> once(const Order& order) {
    give(order);
    if (order.kind == Kind::kGift) {  // taken when it has arrived: the time of taking alone
      std::byte done{};
      complete(receive(&done, 1, kAcknowledgements));
      const double start = seconds_now();
      for (int i = 0; i < order.count; ++i)
        complete(receive(at(received_, order, i), order.bytes, kMessages));
      const double taking = seconds_now() - start;
      intact_ = intact_ && arrived(order);
      return {taking, taking};
    }
    if (order.kind == Kind::kPingPong) {
      double start = 0;
      for (int i = 0; i <= order.count; ++i) {
        if (i == 1) start = seconds_now();
        complete(send(sent_.data(), order.bytes, kMessages));
        complete(receive(received_.data(), order.bytes, kMessages));
      }
      return {(seconds_now() - start) / order.count, 0};
    }
    std::byte ready{}, whole{};
    complete(receive(&ready, 1, kAcknowledgements));
    requests_.clear();
    const double start = seconds_now();
    for (int i = 0; i < order.count; ++i)
      requests_.push_back(send(at(sent_, order, i), order.bytes, kMessages));
    const double posting = seconds_now() - start;
    for (const MPI_Request request : requests_) complete(request);
    complete(receive(&whole, 1, kAcknowledgements));
    const double seconds = seconds_now() - start;
    intact_ = intact_ && whole == std::byte{1};
    return {seconds, posting};
  }

  void give(const Order& order) { complete(send(&order, sizeof order, kOrders)); }

  MPI_Request send(const void* data, std::size_t bytes, int tag) {
    MPI_Request request;
    check_mpi(MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, peer_, tag, messages_, &request),
              "MPI_Isend");
    return request;
  }
  MPI_Request receive(void* data, std::size_t bytes, int tag) {
    MPI_Request request;
    check_mpi(MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, peer_, tag, messages_, &request),
              "MPI_Irecv");
    return request;
  }
  void complete(MPI_Request request) {
    communicator_.complete(request, "a message that measures the network");
  }

  MpiCommunicator& communicator_;
  MPI_Comm messages_;
  int peer_;
  double seconds_;
  std::vector<std::byte> sent_, received_;
  std::vector<MPI_Request> requests_;
  bool intact_ = true;
};

}  // namespace

LogGp measure_loggp(Communicator& communicator, PairsOf which, double seconds) {
  if (communicator.size() == 1) return {};
  auto& mpi = dynamic_cast<MpiCommunicator&>(communicator);
  MPI_Comm messages = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(mpi.world(), &messages), "MPI_Comm_dup");
  // Turn 0: position 0 asks, be it its neighbour in the node or its like on the next one.
  const Topology& topology = communicator.topology();
  const LinkPair pair = link_pair(topology, which, 0);
  const int first = topology.rank_at[0];
  LogGp found;
  if (communicator.rank() == first && pair.peer >= 0) {
    found = LinkMeter(mpi, messages, pair.peer, seconds).ask();
  } else if (pair.peer == first) {
    LinkMeter(mpi, messages, pair.peer, seconds).answer();
  }
  communicator.barrier();
  LogGp::Measured mine;
  if (pair.peer >= 0) {
    LinkMeter meter(mpi, messages, pair.peer, seconds);
    if (!pair.asks)
      meter.answer();
    else
      mine = meter.ask_bandwidth();
  }
  if (topology.node() != 0) mine = {};  // the link from node 0 to the next one
  const std::vector<std::byte> bytes = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  MPI_Comm_free(&messages);
  std::vector<LogGp::Measured> all(bytes.size() / sizeof mine);
  std::memcpy(all.data(), bytes.data(), bytes.size());
  for (const LogGp::Measured& one : all) {
    found.unit_bandwidth.value += one.value;
    found.unit_bandwidth.spread = std::max(found.unit_bandwidth.spread, one.spread);
  }
  broadcast_value(communicator, found, first);
  return found;
}

}  // namespace lockstep::comm
