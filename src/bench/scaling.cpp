#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "bench/stepper.h"
#include "lockstep/core/log.h"

namespace lockstep::bench {
namespace {

// What a number of ranks came to. Plain bytes, to be sent to those that took no part.
struct Point {
  Timing time;
  Hash128 digest, again;
  double flops = 0;
};

// 1, 2, 4, ... and all that are there.
std::vector<int> counts_up_to(int ranks) {
  std::vector<int> counts;
  for (int n = 1; n < ranks; n *= 2) counts.push_back(n);
  counts.push_back(ranks);
  return counts;
}

// Collective over all ranks; the first `ranks` positions step, the others wait. repeat: whether
// the same steps are made twice.
Point measured(comm::Communicator& communicator, const StepSubject& subject, int ranks,
               std::int64_t lanes, std::int64_t batch, double seconds, bool repeat) {
  Point point;
  const auto part = communicator.part(ranks);
  communicator.together([&] {
    if (!part) return;
    part->set_activity("a benchmark of steps", -1);
    if (repeat) {
      const auto stepper = subject.make(*part, lanes, batch);
      point.again = digest_after_steps(*stepper);
    }
    const auto stepper = subject.make(*part, lanes, batch);
    point.digest = digest_after_steps(*stepper);
    if (!repeat) point.again = point.digest;
    point.time = measure_steps(*part, *stepper, seconds);
    point.flops = stepper->flops();
  });
  comm::broadcast_value(communicator, point, communicator.topology().rank_at.front());
  return point;
}

Row scaling_row(const std::string& group, int ranks, std::int64_t batch, const Point& point,
                const std::optional<double>& one) {
  Row row;
  row.group = group;
  row.name = fmt::format("{} rank{}", ranks, ranks == 1 ? "" : "s");
  row.time = point.time;
  const double samples = static_cast<double>(batch) / point.time.median;
  row.figures = {{"ranks", "", static_cast<double>(ranks)},
                 {"batch", "", static_cast<double>(batch)},
                 {"samples", "/s", samples},
                 {"rate", "flop/s", point.flops / point.time.median}};
  if (one) {
    row.figures.push_back({"speedup", "", samples / *one});
    row.figures.push_back({"efficiency", "part", samples / *one / ranks});
  }
  return row;
}

class Series {
 public:
  Series(comm::Communicator& communicator, const Request& request, const StepSubject& subject)
      : communicator_(communicator), request_(request), subject_(subject) {}

  // The run's own batch, on as many ranks as it has lanes.
  void strong(Results& results) {
    std::optional<double> one;
    std::optional<Hash128> digest;
    for (const int ranks : counts_up_to(communicator_.size())) {
      if (ranks > subject_.lanes) {
        results.notes.push_back(fmt::format(
            "strong: no more than {} ranks, for {} lanes; more need more of train.lanes.",
            subject_.lanes, subject_.lanes));
        break;
      }
      const Point point = measured(communicator_, subject_, ranks, subject_.lanes, subject_.batch,
                                   request_.seconds, false);
      if (!digest) digest = point.digest;
      const std::string found =
          point.digest == *digest ? ""
                                  : fmt::format("the digest is {}, on 1 rank it is {}",
                                                point.digest.text(), digest->text());
      add(results, "strong", ranks, subject_.batch, point, found, one);
    }
  }

  // As many lanes a rank as it has where all take part in the strong series, at least one.
  void weak(Results& results) {
    const std::int64_t each = std::max<std::int64_t>(1, subject_.lanes / communicator_.size());
    const std::int64_t microbatch = subject_.batch / subject_.lanes;
    std::optional<double> one;
    for (const int ranks : counts_up_to(communicator_.size())) {
      const std::int64_t lanes = each * ranks;
      const Point point = measured(communicator_, subject_, ranks, lanes, lanes * microbatch,
                                   request_.seconds, true);
      const std::string found =
          point.digest == point.again ? ""
                                      : fmt::format("the digest of the same steps is {} and then {}",
                                                    point.digest.text(), point.again.text());
      add(results, "weak", ranks, lanes * microbatch, point, found, one);
    }
  }

 private:
  void add(Results& results, const std::string& group, int ranks, std::int64_t batch,
           const Point& point, const std::string& found, std::optional<double>& one) {
    if (!one) one = static_cast<double>(batch) / point.time.median;
    Row row = scaling_row(group, ranks, batch, point, one);
    row.verified = found.empty() ? "ok" : found;
    results.rows.push_back(std::move(row));
    log::info("{}, {}: {:.4g} samples/s", group, results.rows.back().name,
              static_cast<double>(batch) / point.time.median);
  }

  comm::Communicator& communicator_;
  const Request& request_;
  const StepSubject& subject_;
};

}  // namespace

Results bench_scaling(comm::Communicator& communicator, const Request& request) {
  require_some(request.only, std::vector<std::string>{"strong", "weak"});
  const StepSubject subject = step_subject(request);
  Results results;
  results.title = "lockstep bench scaling";
  {
    const auto own = open_device(communicator, subject.device);
    results.facts = machine_facts(communicator, own ? *own : cpu_device());
  }
  results.facts.insert(results.facts.end(), subject.facts.begin(), subject.facts.end());
  results.notes = {
      "strong: the same batch on more ranks; verified: the same digest as on one rank. weak: the "
      "same lanes a rank, the batch grows; verified: the same digest when made again.",
      "speedup: samples/s by those of one rank; efficiency: that by the number of ranks. Ranks fill "
      "nodes one after another."};
  Series series(communicator, request, subject);
  if (wanted(request.only, "strong", "")) series.strong(results);
  if (wanted(request.only, "weak", "")) series.weak(results);
  return results;
}

}  // namespace lockstep::bench
