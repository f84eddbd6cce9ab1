// A worker of an asynchronous parameter server: asks for tickets, pulls parameters, computes
// gradients, announces them, and pushes those that are accepted while it computes the next. How
// tickets are dealt and sums are made is the servers' affair.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "parallel/served_parameters.h"
#include "parallel/server_letters.h"
#include "parallel/ticket_sink.h"

namespace lockstep::parallel {

inline constexpr int kGradientTag = 8192 + 16;  // of the first slot's parcels
// Gradients of a worker that wait for their verdict or are under way, or in the making: so many
// for each stream. With all in use it waits.
inline constexpr int kSlotsPerStream = 2;

class QueueWorker {
 public:
  QueueWorker(comm::ServerExchange& exchange, ServedParameters& served, Device& device,
              nn::Program& program, const BucketTable& buckets, const Options& options);

  // Works for the stretch that begins with `step`, until its end. The parameters are those of all
  // updates when it returns.
  void run(std::int64_t step, LaneRunner& runner);

  double waited() const { return waited_; }  // seconds
  std::size_t slot_bytes() const { return gradients_.bytes(); }
  std::size_t sink_bytes() const;
  std::size_t device_bytes() const;

 private:
  enum class Use : std::uint8_t { kFree, kTaken, kAnnounced, kSending };
  struct Slot {
    Use use = Use::kFree;
    float* flat = nullptr;
    std::int64_t ticket = 0, version = 0;
    StepRecord record;
    std::vector<int> parcels;  // by server
    int taken = 0;             // servers that have summed what was pushed
  };
  bool progress();
  void handle(int from, const Letter& letter);
  void push(Slot& slot, std::int64_t arrival);
  void ask(std::int64_t count);
  bool choose_round();
  void pull(std::int64_t at_least, bool last);
  void compute(LaneRunner& runner);
  void announce(Requests requests);
  void wait(const char* what, const std::function<bool()>& ready);
  bool all_free() const;
  std::int64_t lane_of(std::int64_t ticket) const { return ticket % options_.lanes; }

  comm::ServerExchange& exchange_;
  ServedParameters& served_;
  nn::Program& program_;
  const Options options_;
  const int owner_;   // position of the queue
  Buffer gradients_;  // in the host's memory
  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<TicketSink>> sinks_;  // by stream
  std::vector<std::int64_t> tickets_;               // held, in order
  std::vector<Slot*> round_;                        // by stream
  std::vector<std::int64_t> versions_;              // by server: of the parameters that are here
  // known: a version that the servers have or will have, come with a ticket.
  std::int64_t first_step_ = 0, known_version_ = 0, end_version_ = 0;
  int replies_ = 0;  // to the last pull
  bool changed_ = false, ended_ = false;
  double waited_ = 0;
};

}  // namespace lockstep::parallel
