// The letters of an asynchronous parameter server. Plain data, the same on both sides.
#pragma once
#include <cstdint>
#include <span>
#include <type_traits>

#include "lockstep/comm/server_exchange.h"
#include "lockstep/parallel/strategy.h"

namespace lockstep::parallel {

enum class LetterKind : std::int64_t {
  kAsk,         // worker to the queue's owner: count more tickets
  kTicket,      // back: number is the ticket, handed out at `version`
  kResult,      // worker to the owner: the gradient of ticket `number` is computed
  kVerdict,     // back: ticket `number` is result `arrival` of the stretch, or refused (-1)
  kPush,        // worker to every server: the parcel of `slot` follows, result `arrival`
  kTaken,       // back: the parcel of `slot` has been summed, another may follow
  kPull,        // worker to every server: wants parameters of version >= `version`, has `has`
  kParameters,  // back: the version that the worker has now; parcels follow if `number` is 1
  kRequests,    // server to the owner: this rank was asked to stop or to save
  kEnd,         // owner to all: no more tickets; the stretch ends with `version` updates
};

struct Letter {
  LetterKind kind = LetterKind::kAsk;
  std::int64_t number = 0, arrival = -1, version = 0, has = -1;
  std::int32_t slot = 0, last = 0;  // last: of a kPull, the worker's last one of the stretch
  StepRecord record;                // of a kPush; its requests in any letter to the owner

  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(this, 1)); }
  std::span<std::byte> bytes() { return std::as_writable_bytes(std::span(this, 1)); }
};
static_assert(std::is_trivially_copyable_v<Letter>);

// handle(from, letter) for each letter that is here. True: there was one.
template <class Handle>
bool take_letters(comm::ServerExchange& exchange, Handle handle) {
  Letter letter;
  int from = exchange.take(letter.bytes());
  if (from < 0) return false;
  for (; from >= 0; from = exchange.take(letter.bytes())) handle(from, letter);
  return true;
}

}  // namespace lockstep::parallel
