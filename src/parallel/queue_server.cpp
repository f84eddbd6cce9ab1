#include "parallel/queue_server.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/ops/vector.h"
#include "parallel/outcome.h"
#include "parallel/queue_worker.h"

namespace lockstep::parallel {

QueueServer::QueueServer(comm::ServerExchange& exchange, ServedParameters& served, Device& device,
                         const ParameterTable& table, const BucketTable& buckets,
                         const optim::Options& optimizer_options, const Options& options,
                         std::int64_t most_steps)
    : exchange_(exchange),
      served_(served),
      table_(table),
      buckets_(buckets),
      optimizer_options_(optimizer_options),
      options_(options),
      workers_(served.roles().workers()),
      owner_position_(served.roles().position_of(0)),
      slots_(static_cast<std::size_t>(workers_ * options.streams * kSlotsPerStream)),
      pulls_(workers_),
      wants_(workers_),
      leaves_(options.lanes),
      values_(table.blocks().size()),
      norms_(exchange, served.roles(), served.server(), served.shards(), 1, 1) {
  const std::int64_t shard = served.shards().elements(served.server());
  shard_bytes_ = static_cast<std::size_t>(shard) * sizeof(float);
  inbox_ = device.allocate(slots_.size() * shard_bytes_, "gradients from the workers");
  sums_ = device.allocate(static_cast<std::size_t>(table.flat_elements()) * sizeof(float),
                          "sums of gradients");
  float* at = inbox_.as<float>();
  const int of_worker = options.streams * kSlotsPerStream;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    std::vector<std::span<std::byte>> pieces;
    for (int b = 0; b < buckets.size(); ++b) {
      const auto size = static_cast<std::size_t>(served.shards().range(b, served.server()).size());
      slots_[i].pieces.push_back(at);
      pieces.push_back(std::as_writable_bytes(std::span(at, size)));
      at += size;
    }
    const int slot = static_cast<int>(i);
    slots_[i].parcel =
        exchange.plan_receive(slot / of_worker, kGradientTag + slot % of_worker, pieces);
  }
  update_.reserve(static_cast<std::size_t>(options.lanes));
  if (served.server() > 0) return;
  TicketQueue::Rules rules;
  rules.lanes = options.lanes;
  rules.staleness = options.mode == ServerMode::kBounded ? options.staleness : -1;
  rules.lease = options.lease;
  rules.homes = comm::cut_lanes(options.lanes, workers_);
  queue_.emplace(std::move(rules), most_steps);
}

std::int64_t QueueServer::run(std::int64_t step, LaneRunner& runner,
                              std::span<StepOutcome> outcomes) {
  first_step_ = version_ = step;
  outcomes_ = outcomes;
  runner_ = &runner;
  next_ = 0;
  last_pulls_ = 0;
  ended_ = told_ = false;
  requests_ = {};
  std::fill(wants_.begin(), wants_.end(), 0);
  std::fill(pulls_.begin(), pulls_.end(), Pull{});
  if (owner()) queue_->begin(static_cast<std::int64_t>(outcomes.size()));
  while (!finished()) {
    waited_ += exchange_.wait("the workers", version_ + 1, [this] { return progress(); });
  }
  LOCKSTEP_CHECK(version_ == end_version_, "{} updates of {}", version_ - first_step_,
                 end_version_ - first_step_);
  const std::int64_t done = version_ - first_step_;
  if (failure_.empty()) {
    LOCKSTEP_CHECK(update_.empty() && next_ == done * options_.lanes,
                   "{} results make no {} updates", next_, done);
    LOCKSTEP_CHECK(!owner() || queue_->accepted() == next_, "{} results were accepted, {} applied",
                   queue_->accepted(), next_);
    outcomes_[done - 1].total.stop_requests = requests_.stop_requests;
    outcomes_[done - 1].total.save_requests = requests_.save_requests;
  }
  return done;
}

bool QueueServer::finished() {
  const auto free = [](const Slot& slot) { return slot.use == Use::kFree; };
  return ended_ && last_pulls_ == workers_ && std::all_of(slots_.begin(), slots_.end(), free) &&
         served_.sent() && exchange_.all_posted();
}

// True if something has happened, or all is done: a wait lasts from one event to the next.
bool QueueServer::progress() {
  bool any =
      take_letters(exchange_, [this](int from, const Letter& letter) { handle(from, letter); });
  look_at_requests();
  any |= take_gradients();
  any |= answer_pulls();
  if (owner() && !ended_) {
    any |= hand_out();
    if (!failure_.empty() || (queue_->complete() && version_ - first_step_ == queue_->steps()))
      end();
  }
  return any || finished();
}

void QueueServer::handle(int from, const Letter& letter) {
  switch (letter.kind) {
    case LetterKind::kAsk:
      wants_[from] += letter.number;
      return;
    case LetterKind::kResult: {
      heed(letter.record);
      Letter verdict;
      verdict.kind = LetterKind::kVerdict;
      verdict.number = letter.number;
      verdict.slot = letter.slot;
      verdict.arrival = queue_->accept(from, letter.number, seconds_now());
      exchange_.post(from, verdict.bytes());
      return;
    }
    case LetterKind::kPush: {
      Slot& slot = slots_[from * options_.streams * kSlotsPerStream + letter.slot];
      LOCKSTEP_CHECK(slot.use == Use::kFree, "a push to a slot in use");
      slot.use = Use::kReceiving;
      slot.letter = letter;
      exchange_.start(slot.parcel);
      return;
    }
    case LetterKind::kPull:
      pulls_[from] = {true, letter.last != 0, letter.version, letter.has};
      return;
    case LetterKind::kRequests:
      heed(letter.record);
      return;
    case LetterKind::kEnd:
      ended_ = true;
      end_version_ = letter.version;
      return;
    default:
      LOCKSTEP_CHECK(false, "a letter of kind {} to a server", static_cast<int>(letter.kind));
  }
}

// The owner's: what any rank asks for ends the stretch with the step that is being handed out.
void QueueServer::heed(const StepRecord& requests) {
  requests_.stop_requests += requests.stop_requests;
  requests_.save_requests += requests.save_requests;
  if (requests_.stop_requests > 0 || requests_.save_requests > 0) queue_->stop();
}

// Each server's own, told once a stretch.
void QueueServer::look_at_requests() {
  if (told_ || ended_) return;
  const Requests mine = runner_->requests();
  if (!mine.stop && !mine.save) return;
  told_ = true;
  Letter letter;
  letter.kind = LetterKind::kRequests;
  letter.record.stop_requests = mine.stop ? 1 : 0;
  letter.record.save_requests = mine.save ? 1 : 0;
  if (owner()) {
    heed(letter.record);
  } else {
    exchange_.post(owner_position_, letter.bytes());
  }
}

// Results are added in the order of their numbers, whatever the order in which they come.
bool QueueServer::take_gradients() {
  bool any = false;
  for (Slot& slot : slots_) {
    if (slot.use != Use::kReceiving || !exchange_.done(slot.parcel)) continue;
    slot.use = Use::kFull;
    any = true;
  }
  for (bool added = true; added && failure_.empty();) {
    added = false;
    for (Slot& slot : slots_) {
      if (slot.use != Use::kFull || slot.letter.arrival != next_) continue;
      add(slot);
      added = any = true;
      if (static_cast<std::int64_t>(update_.size()) == options_.lanes) apply();
      break;
    }
  }
  for (Slot& slot : slots_) {
    if (!failure_.empty() && slot.use == Use::kFull) give_back(slot);
  }
  return any;
}

// Until then the worker sends nothing more into it: what a server holds is bounded.
void QueueServer::give_back(Slot& slot) {
  slot.use = Use::kFree;
  const auto index = static_cast<int>(&slot - slots_.data());
  const int of_worker = options_.streams * kSlotsPerStream;
  Letter letter;
  letter.kind = LetterKind::kTaken;
  letter.slot = index % of_worker;
  exchange_.post(index / of_worker, letter.bytes());
}

void QueueServer::add(Slot& slot) {
  const ScopedTimer timer(summing_);
  for (int b = 0; b < buckets_.size(); ++b) {
    const comm::Range range = served_.shards().range(b, served_.server());
    if (range.size() == 0) continue;
    float* const sum = sums_.as<float>() + range.begin;
    if (update_.empty()) {
      std::memcpy(sum, slot.pieces[b], static_cast<std::size_t>(range.size()) * sizeof(float));
    } else {
      ops::add(sum, sum, slot.pieces[b], range.size());
    }
  }
  update_.push_back(slot.letter);
  give_back(slot);
  ++next_;
}

std::string QueueServer::what_is_not_finite() const {
  const std::int64_t step = version_ + 1;  // people count from 1
  for (const Letter& result : update_) {
    if (!all_finite(result.record.lane))
      return fmt::format(
          "the loss of lane {} of step {} is not finite at update {}; it was not applied. Lower "
          "optimizer.lr, set optimizer.clip, or look at the data (data.check_finite)",
          result.number % options_.lanes, first_step_ + result.number / options_.lanes + 1, step);
  }
  for (std::size_t b = 0; b < values_.size(); ++b) {
    if (!std::isfinite(values_[b]))
      return fmt::format(
          "the gradient of '{}' is not finite at update {}; it was not applied. Lower "
          "optimizer.lr or set optimizer.clip",
          table_[table_.blocks()[b].parameter].name, step);
  }
  return "";
}

// All servers see the same results and the same values, so they all apply, or none.
void QueueServer::apply() {
  for (std::size_t b = 0; b < values_.size(); ++b) {
    if (served_.shards().owner(static_cast<int>(b)) != served_.server()) continue;
    const Block& block = table_.blocks()[b];
    values_[b] = ops::sum_of_squares(sums_.as<float>() + block.begin, block.elements);
  }
  norms_.share(values_, version_ + 1);
  failure_ = what_is_not_finite();
  if (!failure_.empty()) {
    if (owner()) queue_->fail();
    update_.clear();
    return;
  }
  for (std::size_t i = 0; i < update_.size(); ++i) {
    leaves_[i] = update_[i].record;
    const std::int64_t between = version_ - update_[i].version;
    LOCKSTEP_CHECK(between >= 0, "a result of parameters to come");
    staleness_.updates_between += between;
    staleness_.most = std::max(staleness_.most, between);
    ++staleness_.results;
  }
  StepOutcome& outcome = outcomes_[version_ - first_step_];
  outcome.total = fold_in_tree(leaves_);
  const double scale = judge(
      table_, optimizer_options_, version_, [this](int block) { return values_[block]; }, outcome);
  served_.step(
      version_, scale, 1 / static_cast<double>(options_.lanes * options_.accumulate),
      [this](int block) { return sums_.as<float>() + table_.blocks()[block].begin; }, false);
  update_.clear();
  ++version_;
  if (owner()) queue_->applied(version_ - first_step_);
}

bool QueueServer::answer_pulls() {
  bool any = false;
  for (int w = 0; w < workers_; ++w) {
    Pull& pull = pulls_[w];
    if (!pull.waits || pull.at_least > version_) continue;
    pull.waits = false;
    any = true;
    Letter letter;
    letter.kind = LetterKind::kParameters;
    letter.version = version_;
    letter.number = pull.has == version_ ? 0 : 1;
    exchange_.post(w, letter.bytes());
    if (letter.number == 1) served_.send_everything(w);
    if (pull.last) ++last_pulls_;
  }
  return any;
}

bool QueueServer::hand_out() {
  bool any = false;
  const double now = seconds_now();
  for (int w = 0; w < workers_; ++w) {
    for (; wants_[w] > 0; --wants_[w]) {
      Letter letter;
      letter.kind = LetterKind::kTicket;
      letter.version = version_;
      letter.number = queue_->hand_out(w, now);
      if (letter.number < 0) break;
      exchange_.post(w, letter.bytes());
      any = true;
    }
  }
  return any;
}

void QueueServer::end() {
  ended_ = true;
  end_version_ = version_;
  Letter letter;
  letter.kind = LetterKind::kEnd;
  letter.version = version_;
  for (int position = 0; position < served_.roles().ranks; ++position) {
    if (position != owner_position_) exchange_.post(position, letter.bytes());
  }
}

}  // namespace lockstep::parallel
