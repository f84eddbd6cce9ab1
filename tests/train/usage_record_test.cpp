#include "train/usage_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "lockstep/core/error.h"
#include "train/scratch_folder.h"

namespace lockstep::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

Attempt attempt(double started, double updated, StepHistory history, std::string ended = "killed") {
  Attempt a;
  a.started = started;
  a.updated = updated;
  a.ended = std::move(ended);
  a.history = std::move(history);
  return a;
}

TEST(StepHistory, knows_the_seconds_up_to_each_mark_and_in_between) {
  StepHistory h(10);
  h.add(12, 2, 4);
  h.add(13, 1, 1);
  h.mark(h.last());
  h.add(14, 1, 3);
  h.add(17, 3, 9);
  EXPECT_EQ(h.seconds(), 17);
  EXPECT_EQ(h.seconds_until(10), 0);
  EXPECT_EQ(h.seconds_until(13), 5);
  EXPECT_EQ(h.seconds_until(15), 5 + 12 / 2.0);
  EXPECT_EQ(h.seconds_until(17), 17);
  EXPECT_EQ(h.seconds_until(99), 17);
  EXPECT_EQ(h.seconds_until(3), 0);
  EXPECT_EQ(h.lost(), 0);
}

TEST(StepHistory, can_be_marked_where_it_no_longer_stands) {
  StepHistory h(0);
  h.add(10, 10, 10);
  h.mark(7);
  h.add(11, 1, 100);
  EXPECT_EQ(h.seconds_until(7), 7);
  EXPECT_EQ(h.seconds(), 110);
  EXPECT_EQ(h.marks().size(), 3u);
}

TEST(StepHistory, that_goes_back_counts_the_second_time_only) {
  StepHistory h(0);
  h.add(4, 4, 4);
  h.mark(h.last());
  h.add(9, 5, 50);
  h.add(5, 1, 1);  // back to 4, and one step
  EXPECT_EQ(h.last(), 5);
  EXPECT_EQ(h.seconds(), 5);
  EXPECT_EQ(h.lost(), 5);
  h.add(9, 4, 4);
  EXPECT_EQ(h.seconds(), 9);
  EXPECT_EQ(h.seconds_until(4), 4);
}

TEST(StepHistory, that_goes_back_before_its_first_step_begins_there) {
  StepHistory h(20);
  h.add(25, 5, 5);
  h.add(12, 2, 2);
  EXPECT_EQ(h.first(), 10);
  EXPECT_EQ(h.last(), 12);
  EXPECT_EQ(h.seconds(), 2);
  EXPECT_EQ(h.lost(), 5);
}

TEST(StepHistory, of_a_long_run_stays_small_and_exact_at_its_newest_marks) {
  StepHistory h(0);
  for (int step = 1; step <= 10000; ++step) {
    h.add(step, 1, step % 7);
    h.mark(h.last());
  }
  EXPECT_LT(h.marks().size(), 70u);
  double seconds = 0;
  for (int step = 1; step <= 10000; ++step) {
    seconds += step % 7;
    if (step > 9980) {
      EXPECT_NEAR(h.seconds_until(step), seconds, 1e-6);
    }
  }
}

TEST(Goodput, counts_each_step_once_and_the_time_between_attempts_as_lost) {
  StepHistory first(0), second(4), third(6);
  first.add(4, 4, 40);
  first.mark(4);
  first.add(9, 5, 50);  // lost
  second.add(6, 2, 10);
  second.mark(6);
  second.add(7, 1, 5);  // lost
  third.add(10, 4, 20);
  const std::vector<Attempt> attempts{attempt(1000, 1100, first), attempt(1200, 1220, second),
                                      attempt(1300, 1330, third, "done")};
  const Goodput good = goodput(attempts);
  EXPECT_EQ(good.useful, 40 + 10 + 20);
  EXPECT_EQ(good.lost, 5 + 1);
  EXPECT_EQ(good.wall, 330);
  EXPECT_EQ(good.running, 100 + 20 + 30);
  EXPECT_DOUBLE_EQ(good.of_wall(), 70 / 330.0);
  EXPECT_THAT(usage_lines(attempts).at(0),
              AllOf(HasSubstr("goodput 21.2 %"), HasSubstr("3 attempts"), HasSubstr("46.7 %"),
                    HasSubstr("6 steps lost")));
}

TEST(Goodput, of_an_attempt_that_went_back_before_another_one_drops_what_lies_between) {
  StepHistory first(0), second(10);
  first.add(10, 10, 100);
  second.add(15, 5, 50);
  second.add(8, 4, 4);  // from step 4 on
  const std::vector<Attempt> attempts{attempt(0, 100, first), attempt(100, 200, second)};
  const Goodput good = goodput(attempts);
  EXPECT_EQ(good.useful, 40 + 4);
  EXPECT_EQ(good.lost, 6 + 5);
}

// Against a list of each step's last doing.
TEST(Goodput, agrees_with_counting_step_by_step) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<double> counted(1, 0);  // by step; seconds are whole, so sums are exact
    std::vector<Attempt> attempts;
    std::int64_t done = 0, at = 0;
    for (int a = 0; a < 4; ++a) {
      std::vector<std::int64_t> saved{at};
      StepHistory h(at);
      const int steps = static_cast<int>(random() % 40);
      for (int i = 0; i < steps; ++i) {
        if (random() % 9 == 0) at = saved[random() % saved.size()];  // a rollback
        std::erase_if(saved, [at](std::int64_t s) { return s > at; });
        const double seconds = static_cast<double>(random() % 10);
        h.add(++at, 1, seconds);
        counted.resize(static_cast<std::size_t>(at) + 1);
        counted.back() = seconds;
        ++done;
        if (random() % 3 == 0) {
          h.mark(h.last());
          saved.push_back(at);
        }
      }
      attempts.push_back(attempt(100 * a, 100 * a + 50, h));
      at = saved[random() % saved.size()];
    }
    // The last attempt ended where it stood, not where a next one would have begun.
    std::int64_t last = attempts.back().history.last();
    double expected = 0;
    counted.resize(static_cast<std::size_t>(last) + 1);
    for (const double seconds : counted) expected += seconds;
    const Goodput good = goodput(attempts);
    EXPECT_NEAR(good.useful, expected, 1e-9) << "round " << round;
    EXPECT_EQ(good.lost, done - last) << "round " << round;
  }
}

TEST(UsageJson, reads_back_as_it_was) {
  StepHistory h(3);
  h.add(5, 2, 0.1);
  h.mark(h.last());
  h.add(6, 1, 0.2);
  Attempt a = attempt(1.5e9 + 0.25, 1.5e9 + 7, h, "");
  a.hosts = {"a", "b\"\\"};
  a.ranks = 4;
  a.threads = 2;
  a.slurm_job = "77";
  a.seconds = {{"compute", 0.3}, {"saving", 0.1}};
  a.cores = 8;
  a.cpu_seconds = 28;
  a.cpu_wall = 7;
  a.gpus = 1;
  a.gpu_busy = 0.5;
  a.gpu_peak = 1e9;
  a.peak_memory = {1, 2, 3, 4};
  a.bytes_loaded = 5;
  a.bytes_sent = 6;
  a.bytes_from_peers = 7;
  EXPECT_EQ(a.cpu_part(), 0.5);
  const std::string text = usage_json(std::vector<Attempt>{a});
  const std::vector<Attempt> again = parse_usage(text, "u");
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].ended, "");
  EXPECT_EQ(again[0].history.seconds_until(5), 0.1);
  EXPECT_EQ(usage_json(again), text);
}

TEST(UsageJson, that_is_damaged_is_refused_by_name) {
  const std::string whole = usage_json(std::vector<Attempt>{attempt(1, 2, StepHistory(0))});
  for (const std::string& text : {std::string(), whole.substr(0, whole.size() / 2),
                                  std::string("{\"attempts\":[{}]}"), std::string("[]")})
    EXPECT_THAT(sentence_of(ExitCode::kUser, [&] { parse_usage(text, "the file"); }),
                HasSubstr("the file"))
        << text;
}

TEST(UsageLines, say_of_gpus_only_where_there_are_some) {
  StepHistory h(0);
  h.add(1, 1, 1);
  Attempt a = attempt(0, 10, h);
  a.cores = 4;
  a.cpu_seconds = 20;
  a.cpu_wall = 10;
  a.peak_memory = {1 << 20, 3 << 20};
  EXPECT_THAT(usage_lines(std::vector<Attempt>{a}).at(1),
              AllOf(HasSubstr("cores 50.0 % busy of 4"), HasSubstr("3.00 MiB a rank"),
                    Not(HasSubstr("GPU"))));
  a.gpus = 2;
  a.gpu_busy = 0.25;
  EXPECT_THAT(usage_lines(std::vector<Attempt>{a}).at(1), HasSubstr("GPUs 25.0 % busy of 2"));
}

}  // namespace
}  // namespace lockstep::train
