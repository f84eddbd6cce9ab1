#include "train/time_limit.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <thread>

#include "lockstep/core/clock.h"
#include "lockstep/core/units.h"

namespace lockstep::train {
namespace {

// As near to the program's first instruction as it can be had.
const double start_of_program = seconds_now();

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kBetweenLooks = 0.1;  // seconds, at an answer that is on its way
constexpr double kFirstAnswer = 2;     // seconds that a start may wait for it
constexpr double kMoved = 30;          // seconds by which a limit has to move to be news
constexpr double kGoodbye = 2;         // seconds for the end report
// A short job stops this part of its time before its end, at most.
constexpr double kPart = 0.25;

double wall_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// A limit can be moved at any time, and squeue costs the cluster's controller some work: the nearer
// the end, the more often.
double until_next_question(double left) { return std::clamp(left / 4, 60.0, 1800.0); }

std::string clock_text(double end, double now) {
  const auto wall = static_cast<std::time_t>(std::llround(wall_now() + end - now));
  return end - now > 86400 ? fmt::format("{:%F %T}", fmt::localtime(wall))
                           : fmt::format("{:%T}", fmt::localtime(wall));
}

double job_end_from_environment(double now) {
  const char* text = std::getenv("SLURM_JOB_END_TIME");
  if (text == nullptr) return kNever;
  long long seconds = 0;
  const char* const last = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, last, seconds);
  if (error != std::errc() || rest != last || seconds <= 0) return kNever;
  return now + static_cast<double>(seconds) - wall_now();
}

}  // namespace

double program_start() { return start_of_program; }

TimeLimit::TimeLimit(double limit, double stop_before) : stop_before_(stop_before), end_(kNever) {
  const double now = seconds_now();
  if (limit > 0) set_end(program_start() + limit, now, "run.time_limit");
  if (limit >= 0) return;
  if (const double end = job_end_from_environment(now); end < kNever)
    set_end(end, now, "SLURM_JOB_END_TIME");
  if (const char* job = std::getenv("SLURM_JOB_ID"); job != nullptr && *job != '\0') job_ = job;
  if (job_.empty()) return;
  if (end_ == kNever) {
    query_.ask(job_);
  } else {
    next_question_ = now + until_next_question(end_ - now);
  }
}

void TimeLimit::set_end(double end, double now, const char* source) {
  const bool first = end_ == kNever;
  // What is known to the second stays as it is: an answer is as old as its way was long.
  if (!first && std::abs(end - end_) < kMoved) return;
  end_ = end;
  source_ = source;
  if (first) asked_part_ = std::min(stop_before_, std::max(0.0, kPart * (end - now)));
}

void TimeLimit::look_at_job(double now) {
  if (const auto left = query_.answer()) set_end(now + *left, now, "squeue");
  if (query_.asking()) {
    next_look_ = now + kBetweenLooks;
    return;
  }
  const double next = until_next_question(end_ == kNever ? kNever : end_ - now);
  if (next_question_ == 0) next_question_ = now + next;
  if (now >= next_question_) {
    query_.ask(job_);
    next_question_ = now + next;
  }
  next_look_ = query_.asking() ? now + kBetweenLooks : next_question_;
}

void TimeLimit::wait_for_answer() {
  const double until = seconds_now() + kFirstAnswer;
  while (query_.asking() && seconds_now() < until) {
    look_at_job(seconds_now());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void TimeLimit::took_work(double seconds) { longest_work_ = std::max(longest_work_, seconds); }
void TimeLimit::took_save(double seconds) { longest_save_ = std::max(longest_save_, seconds); }

// After the last look that says no, a pause goes by until the next, and then the work and the save.
double TimeLimit::margin() const {
  const double needed = longest_pause_ + longest_work_ + 1.5 * longest_save_ + kGoodbye;
  return std::max(asked_part_, needed);
}

bool TimeLimit::due() {
  const double now = seconds_now();
  if (last_due_ >= 0) longest_pause_ = std::max(longest_pause_, now - last_due_);
  last_due_ = now;
  if (!job_.empty() && now >= next_look_) look_at_job(now);
  was_due_ = end_ - now < margin();
  return was_due_;
}

std::string TimeLimit::news() {
  if (end_ == kNever || end_ == told_) return "";
  const bool moved = told_ != 0;
  told_ = end_;
  const double now = seconds_now();
  return fmt::format("time limit{}: {} ({}, in {}); stops with a checkpoint {} before",
                     moved ? " moved" : "", clock_text(end_, now), source_,
                     seconds_text(std::max(0.0, end_ - now)), seconds_text(margin()));
}

}  // namespace lockstep::train
