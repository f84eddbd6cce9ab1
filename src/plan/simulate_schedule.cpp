#include "plan/simulate_schedule.h"

#include <algorithm>

#include "lockstep/plan/cost.h"

namespace lockstep::plan {
namespace {

class Builder {
 public:
  Builder(const Job& job, const Device& device, std::int64_t busy, const ScheduleOptions& options)
      : job_(job), options_(options) {
    for (const JobOp& op : job.ops) {
      const OpSeconds alone = op_seconds(op, job.precision, device, busy);
      seconds_.push_back({options.slower * alone.forward, options.slower * alone.backward});
    }
    find_buckets();
    if (options.gather) find_parameters();
  }

  Schedule build() {
    const std::int64_t turns = options_.rounds
                                   ? (options_.lanes + options_.together - 1) / options_.together
                                   : options_.lanes;
    for (std::int64_t turn = 0; turn < turns; ++turn) {
      lane_ = static_cast<std::int32_t>(turn * options_.together);
      const std::int64_t lanes =
          options_.rounds ? std::min(options_.together, options_.lanes - lane_) : 1;
      for (std::int64_t micro = 0; micro < job_.accumulate; ++micro) {
        const bool completes =
            micro + 1 == job_.accumulate && (options_.rounds || turn + 1 == turns);
        pass(static_cast<double>(lanes), completes);
      }
    }
    made_.seconds = now_;
    return std::move(made_);
  }

 private:
  // The op whose backward completes a bucket is the first in forward order that has parameters of
  // it. Buckets without one (nobody's) are complete with the one before them.
  void find_buckets() {
    for (const parallel::Bucket& bucket : job_.buckets) {
      std::size_t last = job_.ops.size();
      for (std::size_t i = 0; i < job_.ops.size() && last == job_.ops.size(); ++i) {
        const JobOp& op = job_.ops[i];
        if (op.first < bucket.end && bucket.first < op.end) last = i;
      }
      completes_.push_back(last);
    }
  }

  // A bucket's bytes are shared out among its ops by what they pack, else by their parameters.
  void find_parameters() {
    parameter_bytes_.resize(job_.ops.size());
    for (const parallel::Bucket& bucket : job_.buckets) {
      const auto weight = [&](const JobOp& op) {
        if (op.first >= bucket.end || bucket.first >= op.end) return 0.0;
        return op.packed_bytes > 0 ? op.packed_bytes : static_cast<double>(op.end - op.first);
      };
      double all = 0;
      for (const JobOp& op : job_.ops) all += weight(op);
      for (std::size_t i = 0; i < job_.ops.size() && all > 0; ++i)
        parameter_bytes_[i] +=
            sizeof(float) * static_cast<double>(bucket.range.size()) * weight(job_.ops[i]) / all;
    }
  }

  void pass(double lanes, bool completes) {
    next_ = 0;
    now_ += lanes * options_.before;
    gathered_at_ = now_ + stalled_;
    for (std::size_t i = 0; i < job_.ops.size(); ++i) run(i, lanes * seconds_[i].forward, false);
    for (std::size_t i = job_.ops.size(); i-- > 0;) {
      run(i, lanes * seconds_[i].backward, true);
      while (completes && next_ < completes_.size() && completes_[next_] >= i) complete();
    }
    while (completes && next_ < completes_.size()) complete();
  }

  void run(std::size_t op, double seconds, bool backward) {
    if (options_.gather && parameter_bytes_[op] > 0) {
      // Asked for when the use before it began.
      const double here = gathered_at_ + options_.gather(parameter_bytes_[op]);
      stalled_ += std::max(0.0, here - (now_ + stalled_));
      gathered_at_ = now_ + stalled_;
    }
    if (seconds > 0)
      made_.spans.push_back({now_, now_ + seconds, static_cast<int>(op), lane_, backward});
    now_ += seconds;
  }

  void complete() {
    made_.ready.push_back(now_);
    made_.stall.push_back(stalled_ - told_);
    told_ = stalled_;
    ++next_;
  }

  const Job& job_;
  const ScheduleOptions& options_;
  std::vector<OpSeconds> seconds_;
  std::vector<std::size_t> completes_;
  std::vector<double> parameter_bytes_;
  Schedule made_;
  double now_ = 0, stalled_ = 0, told_ = 0, gathered_at_ = 0;
  std::size_t next_ = 0;
  std::int32_t lane_ = 0;
};

}  // namespace

Schedule make_schedule(const Job& job, const Device& device, std::int64_t busy,
                       const ScheduleOptions& options) {
  return Builder(job, device, busy, options).build();
}

}  // namespace lockstep::plan
