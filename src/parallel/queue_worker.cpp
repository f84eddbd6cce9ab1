#include "parallel/queue_worker.h"

#include <algorithm>
#include <thread>

#include "lockstep/core/error.h"

namespace lockstep::parallel {

QueueWorker::QueueWorker(comm::ServerExchange& exchange, ServedParameters& served, Device& device,
                         nn::Program& program, const BucketTable& buckets, const Options& options)
    : exchange_(exchange),
      served_(served),
      program_(program),
      options_(options),
      owner_(served.roles().position_of(0)),
      slots_(static_cast<std::size_t>(options.streams * kSlotsPerStream)),
      versions_(served.roles().servers) {
  const std::int64_t elements = program.table().flat_elements();
  gradients_ =
      device.allocate_on_host(slots_.size() * static_cast<std::size_t>(elements) * sizeof(float),
                              "gradients on their way to the servers");
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    slot.flat = gradients_.as<float>() + static_cast<std::int64_t>(i) * elements;
    for (int k = 0; k < served.roles().servers; ++k) {
      std::vector<std::span<std::byte>> pieces;
      for (int b = 0; b < buckets.size(); ++b) {
        const comm::Range range = served.shards().range(b, k);
        pieces.push_back(std::as_writable_bytes(
            std::span(slot.flat + range.begin, static_cast<std::size_t>(range.size()))));
      }
      slot.parcels.push_back(exchange.plan_send(served.roles().position_of(k),
                                                kGradientTag + static_cast<int>(i), pieces));
    }
  }
  for (int s = 0; s < options.streams; ++s) {
    std::function<void()> look;
    if (s == 0) look = [this] { progress(); };
    sinks_.push_back(
        std::make_unique<TicketSink>(device, program, buckets, options, std::move(look)));
  }
  tickets_.reserve(static_cast<std::size_t>(options.streams));
  round_.reserve(static_cast<std::size_t>(options.streams));
}

std::size_t QueueWorker::sink_bytes() const {
  std::size_t bytes = 0;
  for (const auto& sink : sinks_) bytes += sink->addend_bytes();
  return bytes;
}

std::size_t QueueWorker::device_bytes() const {
  std::size_t bytes = 0;
  for (const auto& sink : sinks_) bytes += sink->device_bytes();
  return bytes;
}

void QueueWorker::run(std::int64_t step, LaneRunner& runner) {
  first_step_ = known_version_ = step;
  ended_ = false;
  tickets_.clear();
  std::fill(versions_.begin(), versions_.end(), step);
  ask(options_.streams);
  while (choose_round()) {
    pull(known_version_, false);
    ask(static_cast<std::int64_t>(round_.size()));  // they come while this round computes
    compute(runner);
    announce(runner.requests());
  }
  wait("the servers to take gradients", [this] { return all_free(); });
  pull(end_version_, true);
  wait("letters to leave", [this] { return exchange_.all_posted(); });
}

void QueueWorker::wait(const char* what, const std::function<bool()>& ready) {
  waited_ += exchange_.wait(what, first_step_ + 1, [this, &ready] {
    progress();
    return ready();
  });
}

bool QueueWorker::progress() {
  bool any =
      take_letters(exchange_, [this](int from, const Letter& letter) { handle(from, letter); });
  for (Slot& slot : slots_) {
    if (slot.use != Use::kSending || slot.taken < served_.roles().servers) continue;
    const bool sent = std::all_of(slot.parcels.begin(), slot.parcels.end(),
                                  [this](int parcel) { return exchange_.done(parcel); });
    if (sent) slot.use = Use::kFree;
    any |= sent;
  }
  return any;
}

void QueueWorker::handle(int from, const Letter& letter) {
  switch (letter.kind) {
    case LetterKind::kTicket:
      tickets_.push_back(letter.number);
      known_version_ = std::max(known_version_, letter.version);
      return;
    case LetterKind::kVerdict: {
      Slot& slot = slots_[letter.slot];
      LOCKSTEP_CHECK(slot.use == Use::kAnnounced && slot.ticket == letter.number,
                     "a verdict on ticket {}", letter.number);
      slot.use = Use::kFree;
      if (letter.arrival >= 0) push(slot, letter.arrival);
      return;
    }
    case LetterKind::kTaken:
      ++slots_[letter.slot].taken;
      return;
    case LetterKind::kParameters: {
      const int server = from - owner_;
      versions_[server] = letter.version;
      if (letter.number == 1) {
        served_.receive(server);
        changed_ = true;
      }
      ++replies_;
      return;
    }
    case LetterKind::kEnd:
      ended_ = true;
      end_version_ = letter.version;
      return;
    default:
      LOCKSTEP_CHECK(false, "a letter of kind {} to a worker", static_cast<int>(letter.kind));
  }
}

void QueueWorker::push(Slot& slot, std::int64_t arrival) {
  slot.use = Use::kSending;
  slot.taken = 0;
  Letter letter;
  letter.kind = LetterKind::kPush;
  letter.number = slot.ticket;
  letter.arrival = arrival;
  letter.version = slot.version;
  letter.slot = static_cast<std::int32_t>(&slot - slots_.data());
  letter.record = slot.record;
  for (int k = 0; k < served_.roles().servers; ++k) {
    exchange_.post(served_.roles().position_of(k), letter.bytes());
    exchange_.start(slot.parcels[k]);
  }
}

void QueueWorker::ask(std::int64_t count) {
  Letter letter;
  letter.kind = LetterKind::kAsk;
  letter.number = count;
  exchange_.post(owner_, letter.bytes());
}

// One ticket for each stream, of as many as there are, each of another lane: a lane's samples are
// read by one thread at a time. False: the stretch has ended.
bool QueueWorker::choose_round() {
  wait("a ticket", [this] { return ended_ || !tickets_.empty(); });
  round_.clear();
  std::size_t taken = 0;
  for (; taken < tickets_.size() && taken < static_cast<std::size_t>(options_.streams); ++taken) {
    const std::int64_t ticket = tickets_[taken];
    const bool twice = std::any_of(round_.begin(), round_.end(), [&](const Slot* slot) {
      return lane_of(slot->ticket) == lane_of(ticket);
    });
    if (twice) break;
    Slot* slot = nullptr;
    wait("the servers to take gradients", [this, &slot] {
      const auto free = std::find_if(slots_.begin(), slots_.end(),
                                     [](const Slot& s) { return s.use == Use::kFree; });
      if (free != slots_.end()) slot = &*free;
      return slot != nullptr;
    });
    slot->use = Use::kTaken;
    slot->ticket = ticket;
    round_.push_back(slot);
  }
  tickets_.erase(tickets_.begin(), tickets_.begin() + static_cast<std::ptrdiff_t>(taken));
  if (!ended_) return true;
  for (Slot* slot : round_) slot->use = Use::kFree;  // accepted from another
  return false;
}

void QueueWorker::pull(std::int64_t at_least, bool last) {
  Letter letter;
  letter.kind = LetterKind::kPull;
  letter.version = at_least;
  letter.last = last ? 1 : 0;
  replies_ = 0;
  changed_ = false;
  const int servers = served_.roles().servers;
  for (int k = 0; k < servers; ++k) {
    letter.has = versions_[k];
    exchange_.post(served_.roles().position_of(k), letter.bytes());
  }
  wait("the servers' parameters", [this, servers] { return replies_ == servers; });
  if (changed_) waited_ += served_.await_and_pack(first_step_ + 1);
  const std::int64_t version = *std::min_element(versions_.begin(), versions_.end());
  for (Slot* slot : round_) slot->version = version;
}

void QueueWorker::compute(LaneRunner& runner) {
  for (Slot* slot : round_) slot->record = {};
  runner.on_streams([this, &runner](int stream) {
    if (stream >= static_cast<int>(round_.size())) return;
    Slot& slot = *round_[stream];
    for (std::int64_t micro = 0; micro < options_.accumulate; ++micro) {
      sinks_[stream]->begin(slot.flat, micro);
      runner.run({stream, first_step_ + slot.ticket / options_.lanes, lane_of(slot.ticket), micro,
                  sinks_[stream].get(), &slot.record.lane});
    }
    const auto done = [&] { return program_.done(stream) && sinks_[stream]->here(); };
    while (stream == 0 && !done()) progress();
    program_.wait(stream);
    while (!sinks_[stream]->here()) std::this_thread::yield();
  });
}

void QueueWorker::announce(Requests requests) {
  Letter letter;
  letter.kind = LetterKind::kResult;
  letter.record.stop_requests = requests.stop ? 1 : 0;
  letter.record.save_requests = requests.save ? 1 : 0;
  for (Slot* slot : round_) {
    slot->use = Use::kAnnounced;
    letter.number = slot->ticket;
    letter.slot = static_cast<std::int32_t>(slot - slots_.data());
    exchange_.post(owner_, letter.bytes());
  }
  round_.clear();
}

bool QueueWorker::all_free() const {
  return std::all_of(slots_.begin(), slots_.end(),
                     [](const Slot& slot) { return slot.use == Use::kFree; });
}

}  // namespace lockstep::parallel
