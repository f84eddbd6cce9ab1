#include "train/time_limit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "lockstep/core/clock.h"
#include "train/scratch_folder.h"

namespace lockstep::train {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(TimeLeft, is_read_as_squeue_writes_it) {
  EXPECT_EQ(parse_time_left("5:07\n"), 307);
  EXPECT_EQ(parse_time_left("0:00"), 0);
  EXPECT_EQ(parse_time_left("1:59:30\n"), 7170);
  EXPECT_EQ(parse_time_left("2-03:04:05\n3-00:00:00\n"), 183845);
  EXPECT_EQ(parse_time_left("  23:00:00 \n"), 82800);
  EXPECT_TRUE(std::isinf(parse_time_left("UNLIMITED\n").value()));
}

TEST(TimeLeft, that_is_none_is_none) {
  for (const char* text :
       {"", "\n", "INVALID", "NOT_SET", "7", "1-2", "1-02:03", "1:2:3:4", "-1:30", "5:", ":5",
        "1:2-3", "5:07x", "slurm_load_jobs error: Invalid job id"})
    EXPECT_FALSE(parse_time_left(text)) << text;
}

// A variable of the environment for the length of a test.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    ::setenv(name, value.c_str(), 1);
  }
  ~Variable() { old_ ? ::setenv(name_, old_->c_str(), 1) : ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> old_;
};

std::string wall_in(double seconds) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::to_string(std::llround(std::chrono::duration<double>(now).count() + seconds));
}

// A squeue of the test's own, before any other.
class FakeSqueue {
 public:
  explicit FakeSqueue(const std::string& script)
      : path_("PATH", folder_.path().string() + ":" + std::getenv("PATH")) {
    answer(script);
  }
  void answer(const std::string& script) {
    const std::filesystem::path next = folder_.path() / "next";
    std::ofstream(next) << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(next, std::filesystem::perms::owner_all);
    std::filesystem::rename(next, folder_.path() / "squeue");
  }

 private:
  const ScratchFolder folder_;
  const Variable path_;
};

std::optional<double> answer_of(TimeLeftQuery& query) {
  for (int i = 0; i < 1000 && query.asking(); ++i) {
    if (const auto answer = query.answer()) return answer;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return std::nullopt;
}

TEST(TimeLeftQuery, gets_what_squeue_says_of_this_job) {
  const FakeSqueue squeue(R"([ "$*" = "-h -j 4711 -o %L" ] && echo 1:30)");
  TimeLeftQuery query;
  query.ask("4711");
  EXPECT_TRUE(query.asking());
  EXPECT_EQ(answer_of(query), 90);
  EXPECT_FALSE(query.asking());
  query.ask("4712");
  EXPECT_EQ(answer_of(query), std::nullopt);
}

TEST(TimeLeftQuery, without_squeue_never_has_an_answer) {
  const Variable path("PATH", "/nonexistent");
  TimeLeftQuery query;
  query.ask("4711");
  EXPECT_EQ(answer_of(query), std::nullopt);
}

TEST(TimeLeftQuery, that_is_given_up_leaves_no_process) {
  const FakeSqueue squeue("exec sleep 1000");
  const double start = seconds_now();
  {
    TimeLeftQuery query;
    query.ask("4711");
    EXPECT_EQ(query.answer(), std::nullopt);
  }
  EXPECT_LT(seconds_now() - start, 100);
  EXPECT_EQ(::system("pgrep -P $PPID -x sleep > /dev/null") == 0, false);
}

TEST(TimeLimit, of_its_own_counts_from_the_programs_start) {
  const double since = seconds_now() - program_start();
  TimeLimit far(since + 1000, 100), near(since + 1000, 5000);
  EXPECT_FALSE(far.due());
  EXPECT_FALSE(near.due());  // a quarter of what is left at most
  EXPECT_THAT(near.news(), HasSubstr("run.time_limit"));
  EXPECT_THAT(near.news(), IsEmpty());
  EXPECT_FALSE(near.was_due());
  TimeLimit over(1e-9, 0);
  EXPECT_TRUE(over.due());
  EXPECT_TRUE(over.was_due());
}

TEST(TimeLimit, leaves_time_for_what_the_run_has_measured) {
  const double since = seconds_now() - program_start();
  TimeLimit limit(since + 1000, 10);
  EXPECT_FALSE(limit.due());
  limit.took_work(400);
  limit.took_save(300);
  EXPECT_FALSE(limit.due());  // 400 + 450
  limit.took_work(100);       // the longest counts
  limit.took_save(400);
  EXPECT_TRUE(limit.due());  // 400 + 600
}

TEST(TimeLimit, off_is_none) {
  const Variable end("SLURM_JOB_END_TIME", wall_in(1)), job("SLURM_JOB_ID", "1");
  const FakeSqueue squeue("echo 0:01");
  TimeLimit limit(0, 180);
  limit.wait_for_answer();
  EXPECT_FALSE(limit.due());
  EXPECT_THAT(limit.news(), IsEmpty());
}

TEST(TimeLimit, of_a_job_is_in_its_environment) {
  const Variable end("SLURM_JOB_END_TIME", wall_in(1000)), job("SLURM_JOB_ID", "1");
  const FakeSqueue squeue("echo 0:01");  // is asked later
  TimeLimit limit(-1, 100);
  limit.wait_for_answer();
  EXPECT_FALSE(limit.due());
  EXPECT_THAT(limit.news(), HasSubstr("SLURM_JOB_END_TIME, in 16 min"));
  limit.took_save(1000);
  EXPECT_TRUE(limit.due());
}

TEST(TimeLimit, of_a_job_is_asked_of_squeue_where_the_environment_does_not_say) {
  const Variable job("SLURM_JOB_ID", "1");
  const FakeSqueue squeue("echo 16:40");
  TimeLimit limit(-1, 100);
  limit.wait_for_answer();
  EXPECT_FALSE(limit.due());
  EXPECT_THAT(limit.news(), HasSubstr("squeue, in 16 min"));
  limit.took_save(1000);
  EXPECT_TRUE(limit.due());
}

TEST(TimeLimit, without_a_job_there_is_none) {
  const FakeSqueue squeue("echo 0:01");
  ::unsetenv("SLURM_JOB_ID");
  TimeLimit limit(-1, 100);
  limit.wait_for_answer();
  EXPECT_FALSE(limit.due());
  EXPECT_THAT(limit.news(), IsEmpty());
}

}  // namespace
}  // namespace lockstep::train
