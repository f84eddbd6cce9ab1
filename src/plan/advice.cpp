#include "lockstep/plan/advice.h"

#include <fmt/format.h>

#include <algorithm>

#include "lockstep/core/units.h"
#include "plan/changes.h"
#include "plan/choices.h"
#include "plan/closed_form.h"
#include "plan/sentences.h"
#include "plan/words.h"

namespace lockstep::plan {
namespace {

// What more ranks must work at to be worth taking.
constexpr double kWorthwhile = 0.8;
constexpr double kLongRun = 3600;  // from here on checkpoints are spoken of

class Adviser {
 public:
  Adviser(const Job& job, const Machine& machine, const AdviceOptions& options)
      : job_(job), question_{job, machine, options}, all_(choices(question_)) {
    one_ = all_.empty() || all_.front().layout.ranks != 1 ? nullptr : &all_.front();
  }

  Advice advise() {
    if (smallest_fitting(all_) == nullptr) return nothing_fits();
    pick_ = pick();
    Advice advice;
    advice.one_is_enough = pick_->layout.ranks == 1;
    advice.ranks = pick_->layout.ranks;
    advice.ranks_per_node = pick_->layout.ranks_per_node;
    advice.parallel = pick_->parallel;
    say(answer());
    say(closed_form_text(job_, &question_.machine));
    say(size_text(job_, question_.machine, pick_->prediction));
    say(strategy());
    say(more_ranks());
    say(more_lanes());
    step();
    say(checkpoints());
    advice.sentences = std::move(sentences_);
    return advice;
  }

 private:
  void say(std::string sentence) {
    if (!sentence.empty()) sentences_.push_back(std::move(sentence));
  }
  double within() const { return question_.options.within; }
  bool fits_one() const { return one_ != nullptr && one_->prediction.fits; }

  const Choice* pick() const {
    const double limit = within() > 0 ? within() : kShortRun;
    if (fits_one() && (has_closed_form(job_) || one_->prediction.seconds <= limit)) return one_;
    if (within() > 0) {
      const Choice* in_time = smallest_within(all_, within());
      return in_time != nullptr ? in_time : shortest(all_);
    }
    const Choice* efficient = largest_efficient(all_, kWorthwhile);
    return efficient != nullptr ? efficient : smallest_fitting(all_);
  }

  std::string answer() const {
    const Prediction& p = pick_->prediction;
    const std::string memory = memory_text(p, question_.machine);
    if (pick_->layout.ranks > 1) return take();
    if (within() > 0 && p.seconds > within()) return late();
    if (has_closed_form(job_)) {
      const double seconds = seconds_of(least_squares(job_), job_, question_.machine);
      return fmt::format(
          "One process is enough, and least squares takes {} where training takes {} "
          "on one rank.",
          seconds_text(seconds), seconds_text(p.seconds));
    }
    if (within() > 0 || p.seconds <= kShortRun || all_.size() == 1)
      return fmt::format("One process is enough: the run takes {} on one rank and {}.",
                         seconds_text(p.seconds), memory);
    const Choice& two = all_[1];
    return fmt::format(
        "One process is best, though the run takes {} on it ({}): {} would work at {} "
        "efficiency, and below {} the time is not worth the ranks.",
        seconds_text(p.seconds), memory, ranks_text(two.layout), percent(two.prediction.efficiency),
        percent(kWorthwhile));
  }

  std::string late() const {
    return fmt::format(
        "No number of ranks ends the run within {}: {} take least, {}.{}", seconds_text(within()),
        ranks_text(pick_->layout), seconds_text(pick_->prediction.seconds),
        all_.back().layout.ranks >= job_.lanes
            ? fmt::format(" train.lanes = {} allows no more than {} ranks.", job_.lanes, job_.lanes)
            : "");
  }

  std::string take() const {
    const Prediction& p = pick_->prediction;
    if (within() > 0 && p.seconds > within()) return late();
    std::string text = fmt::format("Take {}, {}: the run takes {}", ranks_text(pick_->layout),
                                   strategy_text(pick_->parallel), seconds_text(p.seconds));
    if (within() > 0) text += fmt::format(", within the {} asked for", seconds_text(within()));
    text += fmt::format(", at {} efficiency", percent(p.efficiency));
    if (fits_one())
      return text + fmt::format("; one takes {}.", seconds_text(one_->prediction.seconds));
    if (one_ == nullptr) return text + ".";
    return text + fmt::format("; one cannot hold it ({}).",
                              memory_text(one_->prediction, question_.machine));
  }

  // Why this strategy, where the choice was not free, and what the run file's own would take.
  std::string strategy() const {
    using parallel::Kind;
    const Prediction& p = pick_->prediction;
    if (pick_->parallel.kind == Kind::kSharded) {
      parallel::Options lower = pick_->parallel;
      if (--lower.stage == 0) lower.kind = Kind::kReplicated;
      const auto other = predicted(question_, pick_->layout, lower);
      if (!other) return {};
      return fmt::format("{} is the least that fits: {}; {} needs {}.",
                         capitalised(strategy_text(pick_->parallel)),
                         memory_text(p, question_.machine), strategy_text(lower),
                         memory_text(other->prediction, question_.machine));
    }
    if (pick_->layout.ranks == 1 || job_.parallel.kind != Kind::kSharded) return {};
    const auto own = predicted(question_, pick_->layout, job_.parallel);
    if (!own) return {};
    return fmt::format("Replicated fits ({}); {}, as in the run file, would take {} and {}.",
                       memory_text(p, question_.machine), strategy_text(job_.parallel),
                       seconds_text(own->prediction.seconds),
                       memory_text(own->prediction, question_.machine));
  }

  // The next count and the one that ends first.
  std::string more_ranks() const {
    std::vector<const Choice*> more;
    for (const Choice& choice : all_)
      if (choice.prediction.fits && choice.layout.ranks > pick_->layout.ranks) {
        more.push_back(&choice);
        break;
      }
    const Choice* least = shortest(all_);
    if (!more.empty() && least->layout.ranks > more.front()->layout.ranks) more.push_back(least);
    if (more.empty()) return {};
    std::vector<std::string> parts;
    for (const Choice* choice : more)
      parts.push_back(fmt::format("{} would take {} ({} efficiency)", ranks_text(choice->layout),
                                  seconds_text(choice->prediction.seconds),
                                  percent(choice->prediction.efficiency)));
    return capitalised(joined(parts)) + (outside_contract() ? "." : ": the same bits.");
  }
  bool outside_contract() const {
    return job_.parallel.kind == parallel::Kind::kServer ||
           job_.parallel.kind == parallel::Kind::kLocal ||
           job_.parallel.reduce != comm::ReduceKind::kFold;
  }

  // Where the lanes are what ends the count of ranks: what more of them would bring.
  std::string more_lanes() const {
    const Prediction& p = pick_->prediction;
    const double limit = within() > 0 ? within() : kShortRun;
    if (pick_->layout.ranks < job_.lanes || p.seconds <= limit) return {};
    std::string best;
    double seconds = p.seconds;
    for (std::int64_t lanes = 2 * job_.lanes; lanes * job_.accumulate <= job_.batch; lanes *= 2) {
      if (job_.batch % (lanes * job_.accumulate) != 0) break;
      const std::string key = fmt::format("train.lanes={}", lanes);
      const std::optional<Job> job = remade(question_, {key});
      if (!job) break;
      const Question changed{*job, question_.machine, question_.options};
      const auto choice = chosen(changed, layout_of(*job, question_.machine, lanes));
      if (!choice || !choice->prediction.fits || choice->prediction.efficiency < kWorthwhile ||
          choice->prediction.seconds > seconds / kLeastGain)
        break;
      seconds = choice->prediction.seconds;
      best = fmt::format(
          "Its {} lanes are for no more ranks; with {} (other bits) {} would take {} "
          "({} efficiency).",
          job_.lanes, key, ranks_text(choice->layout), seconds_text(seconds),
          percent(choice->prediction.efficiency));
    }
    return best;
  }

  // What holds a step back, on the ranks asked for or on those advised, and what removes it.
  void step() {
    const std::optional<Layout>& asked = question_.options.asked;
    std::optional<Choice> other;
    if (asked) other = predicted(question_, *asked, job_.parallel);
    const Choice& choice = other ? *other : *pick_;
    if (choice.layout.ranks > 1 || other)
      say(fmt::format("On {}, {}.", ranks_text(choice.layout),
                      bottleneck_phrase(job_, choice.prediction)));
    else
      say(bottleneck_text(job_, choice.prediction));
    say(gains_text(gains(question_, choice)));
  }

  std::string checkpoints() const {
    const Prediction& p = pick_->prediction;
    if (p.seconds < kLongRun || p.checkpoint_interval <= 0) return {};
    return fmt::format(
        "A checkpoint every {} loses least: writing one takes {}, and one of {} nodes "
        "fails every {} days.",
        seconds_text(p.checkpoint_interval), seconds_text(p.checkpoint_seconds),
        pick_->layout.nodes(),
        fmt::format("{:.3g}", job_.mtbf / 86400 / double(pick_->layout.nodes())));
  }

  Advice nothing_fits() {
    Advice advice;
    advice.ranks = 0;
    advice.parallel = job_.parallel;
    if (all_.empty()) {
      say("No number of ranks suits this run and this machine.");
    } else {
      const Choice& choice =
          *std::min_element(all_.begin(), all_.end(), [this](const Choice& a, const Choice& b) {
            return needed(a.prediction, question_.machine) <
                   needed(b.prediction, question_.machine);
          });
      say(fmt::format("It does not fit: least is needed on {}, {}: {}. {}",
                      ranks_text(choice.layout), strategy_text(choice.parallel),
                      memory_text(choice.prediction, question_.machine),
                      largest_row_text(choice.prediction)));
      std::vector<std::string> fits;
      for (const Fit& fit : what_would_fit(question_)) {
        advice.ranks = fit.choice.layout.ranks;
        fits.push_back(fmt::format("{} ({}, {}: {}, {})", fit.text, ranks_text(fit.choice.layout),
                                   strategy_text(fit.choice.parallel),
                                   memory_text(fit.choice.prediction, question_.machine),
                                   seconds_text(fit.choice.prediction.seconds)));
      }
      say(fits.empty()
              ? fmt::format("Nothing that was tried makes it fit: it takes a device or node "
                            "with {}, or a smaller model.",
                            bytes_text(needed(choice.prediction, question_.machine)))
              : "What would fit: " + joined(fits) + ".");
    }
    say(closed_form_text(job_, &question_.machine));
    advice.sentences = std::move(sentences_);
    return advice;
  }

  const Job& job_;
  Question question_;
  std::vector<Choice> all_;
  const Choice* one_ = nullptr;
  const Choice* pick_ = nullptr;
  std::vector<std::string> sentences_;
};

}  // namespace

Advice advise(const Job& job, const Machine& machine, const AdviceOptions& options) {
  return Adviser(job, machine, options).advise();
}

}  // namespace lockstep::plan
