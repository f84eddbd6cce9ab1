#include "full_exchange.h"

#include <signal.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "lockstep/core/crash.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"

namespace lockstep::data {
namespace {

// Windows whose messages are under way while another one is used.
constexpr int kAhead = FullExchange::kSlots - 2;

std::size_t row_bytes(const Samples& samples) {
  return samples.input().sample_bytes() + samples.target().sample_bytes();
}

// Of the ranks of a node, the one that sends what the node has of a position's lanes.
int sender(const comm::Topology& topology, int node, int to) {
  const int first = topology.node_begin[node];
  return first + to % (topology.node_begin[node + 1] - first);
}

std::vector<int> receivers(const comm::Topology& topology, const FullExchange::Lanes& lanes) {
  std::vector<int> found;
  for (int position = 0; position < topology.ranks(); ++position) {
    const bool here = topology.node_of[position] == topology.node();
    if (!here && !lanes[position].empty() &&
        sender(topology, topology.node(), position) == topology.position)
      found.push_back(position);
  }
  return found;
}

// Rows of a window of these receivers that this node has: their mean, and six deviations more.
std::size_t rows_to_expect(const comm::Topology& topology, const FullExchange::Lanes& lanes,
                           const Cuts& cuts) {
  double rows = 0;
  for (const int position : receivers(topology, lanes))
    rows += static_cast<double>(lanes[position].size()) * static_cast<double>(cuts.window);
  const double share =
      static_cast<double>(topology.local_ranks()) / static_cast<double>(topology.ranks());
  return static_cast<std::size_t>(
      std::ceil(std::min(rows, rows * share + 6 * std::sqrt(rows * share * (1 - share)))));
}

}  // namespace

std::size_t FullExchange::bytes_for(const comm::Topology& topology, const Lanes& lanes,
                                    const Samples& samples, const Cuts& cuts) {
  return kSlots * rows_to_expect(topology, lanes, cuts) * row_bytes(samples);
}

FullExchange::FullExchange(comm::Communicator& communicator, const Samples& samples,
                           const HeldRows& held, const LoaderOptions& options, const Cuts& cuts,
                           WindowStore& store, Lanes lanes, std::int64_t first, bool whole_node)
    : topology_(communicator.topology()),
      samples_(samples),
      held_(held),
      options_(options),
      cuts_(cuts),
      store_(store),
      lanes_(std::move(lanes)),
      whole_node_(whole_node),
      receivers_(receivers(topology_, lanes_)),
      messages_(comm::make_byte_messages(communicator, kSlots, topology_.ranks())),
      sent_(first),
      here_(first),
      posted_(first),
      gathered_(first),
      wanted_(first),
      limit_(first + kSlots),
      rows_(static_cast<std::size_t>(cuts.window)),
      of_node_(static_cast<std::size_t>(topology_.nodes())) {
  const std::size_t room = rows_to_expect(topology_, lanes_, cuts_) * row_bytes(samples_);
  for (Round& round : rounds_) {
    if (room > 0) round.out = std::make_unique_for_overwrite<std::byte[]>(room);
    round.room = room;
    round.sends.reserve(receivers_.size());
    round.receives.resize(static_cast<std::size_t>(topology_.nodes()));
    for (int node = 0; node < topology_.nodes(); ++node) {
      round.receives[node].from = sender(topology_, node, topology_.position);
      round.receives[node].pieces.reserve(2 * lanes_[topology_.position].size());
    }
  }
  // Signals are the main thread's: the new thread inherits a mask that blocks them all.
  sigset_t all, before;
  sigfillset(&all);
  crash::leave_open(all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { work(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

FullExchange::~FullExchange() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
  if (std::uncaught_exceptions() > 0) return;  // messages may be in flight; the run ends
  for (; here_ < posted_; ++here_) complete(here_, false);
  for (; sent_ < posted_; ++sent_) complete(sent_, true);
}

void FullExchange::work() {
  events::name_thread("samples");
  try {
    while (true) {
      std::int64_t number = gathered_.load(std::memory_order_relaxed);
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stop_ || std::max(number, wanted_) < limit_; });
        if (stop_) return;
        number = std::max(number, wanted_);
      }
      const events::Span span(events::Kind::kFile, "gathering a window",
                              {.number = static_cast<std::int32_t>(number)});
      gather(number);
      gathered_.store(number + 1, std::memory_order_release);
    }
  } catch (...) {
    error_ = std::current_exception();
    failed_.store(true, std::memory_order_release);
  }
}

void FullExchange::find_rows(std::int64_t lane, std::int64_t number) {
  const std::int64_t epoch = number / cuts_.windows(), window = number % cuts_.windows();
  if (epoch != epoch_) order_.emplace(samples_.count(), 1, options_, epoch);
  epoch_ = epoch;
  rows_.resize(static_cast<std::size_t>(cuts_.window_samples(window)));
  const std::int64_t begin = lane * cuts_.segment + window * cuts_.window;
  for (std::size_t i = 0; i < rows_.size(); ++i)
    rows_[i] = order_->run(begin + static_cast<std::int64_t>(i)).row;
}

// Touches only what belongs to the window: its round, and its slots of this rank's lanes.
void FullExchange::gather(std::int64_t number) {
  Round& mine = round(number);
  mine.used = 0;
  mine.sends.clear();
  for (const int position : receivers_) gather_for(position, number, mine);
  for (Receive& receive : mine.receives) receive.pieces.clear();
  for (int place = 0; place < static_cast<int>(lanes_[topology_.position].size()); ++place)
    gather_lane(place, number, mine);
}

// Grows where more rows than expected lie here, which is as good as never.
std::byte* FullExchange::reserve(Round& round, std::size_t bytes) {
  if (round.used + bytes > round.room) {
    const std::size_t room = round.used + bytes + round.room / 4;
    auto larger = std::make_unique_for_overwrite<std::byte[]>(room);
    if (round.used > 0) std::memcpy(larger.get(), round.out.get(), round.used);
    round.out = std::move(larger);
    round.room = room;
  }
  std::byte* const at = round.out.get() + round.used;
  round.used += bytes;
  return at;
}

// A message: lane by lane, the inputs of the rows that lie here, then their targets.
void FullExchange::gather_for(int position, std::int64_t number, Round& round) {
  const std::size_t begin = round.used;
  const std::size_t input_bytes = samples_.input().sample_bytes();
  const std::size_t target_bytes = samples_.target().sample_bytes();
  for (const std::int64_t lane : lanes_[position]) {
    find_rows(lane, number);
    std::erase_if(rows_, [this](std::int64_t row) { return !held_.has(row); });
    std::byte* input = reserve(round, rows_.size() * (input_bytes + target_bytes));
    std::byte* target = input + rows_.size() * input_bytes;
    for (const std::int64_t row : rows_) {
      std::memcpy(input, held_.input(row), input_bytes);
      std::memcpy(target, held_.target(row), target_bytes);
      input += input_bytes;
      target += target_bytes;
    }
  }
  if (round.used > begin) round.sends.push_back({position, begin, round.used});
}

// In a slot the rows of a node stand together, so that they can be received there; its order says
// which is whose.
void FullExchange::gather_lane(int place, std::int64_t number, Round& round) {
  const std::size_t input_bytes = samples_.input().sample_bytes();
  const std::size_t target_bytes = samples_.target().sample_bytes();
  const Slot slot = store_.slot(store_.local(), place, number);
  find_rows(lanes_[topology_.position][static_cast<std::size_t>(place)], number);
  std::fill(of_node_.begin(), of_node_.end(), 0);
  for (const std::int64_t row : rows_) ++of_node_[static_cast<std::size_t>(held_.node_of(row))];
  std::int64_t at = 0;
  for (int node = 0; node < topology_.nodes(); ++node) {
    const std::int64_t rows = std::exchange(of_node_[static_cast<std::size_t>(node)], at);
    if (node != topology_.node() && rows > 0) {
      auto& pieces = round.receives[static_cast<std::size_t>(node)].pieces;
      const auto begin = static_cast<std::size_t>(at), n = static_cast<std::size_t>(rows);
      pieces.emplace_back(slot.input + begin * input_bytes, n * input_bytes);
      pieces.emplace_back(slot.target + begin * target_bytes, n * target_bytes);
    }
    at += rows;
  }
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const std::int64_t row = rows_[i];
    const auto to =
        static_cast<std::size_t>(of_node_[static_cast<std::size_t>(held_.node_of(row))]++);
    slot.order[i] = static_cast<std::uint32_t>(to);
    if (held_.has(row))
      held_.copy(row, 1, slot.input + to * input_bytes, slot.target + to * target_bytes);
  }
}

double FullExchange::wait(const char* what, const std::function<bool()>& ready) {
  return messages_->wait(what, -1, ready);
}

double FullExchange::post(std::int64_t number) {
  const double waited = wait("samples to be gathered", [&] {
    return failed_.load(std::memory_order_acquire) ||
           gathered_.load(std::memory_order_acquire) > number;
  });
  if (failed_.load(std::memory_order_acquire)) std::rethrow_exception(error_);
  const int index = static_cast<int>(number % kSlots);
  Round& mine = round(number);
  for (const Receive& receive : mine.receives)
    messages_->receive(index, receive.from, receive.pieces);
  for (const Send& send : mine.sends) {
    const std::span<std::byte> all(mine.out.get() + send.begin, send.end - send.begin);
    messages_->send(index, send.to, {&all, 1});
  }
  return waited;
}

double FullExchange::complete(std::int64_t number, bool sends) {
  const int index = static_cast<int>(number % kSlots);
  return wait(sends ? "samples to leave" : "samples of other nodes",
              [&] { return sends ? messages_->sent(index) : messages_->received(index); });
}

// What is posted, and when, is the same on all ranks, so that nothing is left over at the end.
double FullExchange::advance(std::int64_t number) {
  if (number == current_) return 0;
  LOCKSTEP_CHECK(number > current_, "window {} after window {}", number, current_);
  current_ = number;
  double waited = 0;
  for (; here_ < std::min(posted_, number); ++here_) waited += complete(here_, false);
  for (; sent_ < std::min(posted_, number); ++sent_) waited += complete(sent_, true);
  posted_ = std::max(posted_, number);
  here_ = std::max(here_, number);
  sent_ = std::max(sent_, number);
  {
    const std::scoped_lock lock(mutex_);
    wanted_ = number;
    limit_ = number + kSlots;
  }
  changed_.notify_all();
  for (; posted_ <= number + kAhead; ++posted_) waited += post(posted_);
  for (; here_ <= number; ++here_) waited += complete(here_, false);
  const int places = static_cast<int>(lanes_[topology_.position].size());
  for (int place = 0; place < places; ++place)
    store_.progress(store_.local(), place).decoded.store(number + 1, std::memory_order_release);
  if (!whole_node_) return waited;
  // Nobody may wait for a peer's window without looking after its own messages meanwhile.
  return waited + wait("samples of this node's ranks", [&] {
           messages_->sent(static_cast<int>(number % kSlots));
           for (int part = 0; part < store_.parts(); ++part) {
             for (int place = 0; place < store_.lanes(part); ++place) {
               const LaneProgress& lane = store_.progress(part, place);
               if (lane.lane.load(std::memory_order_relaxed) >= 0 &&
                   lane.decoded.load(std::memory_order_acquire) <= number)
                 return false;
             }
           }
           return true;
         });
}

}  // namespace lockstep::data
