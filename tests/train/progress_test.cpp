#include "lockstep/train/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "lockstep/core/clock.h"
#include "lockstep/core/files.h"
#include "train/scratch_folder.h"

namespace lockstep::train {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

StepStatus at_step(std::int64_t step) { return {2, 5, step, 500, step % 100, 100, 0.4312, 1e-3}; }

// A terminal of 100 columns; what was printed on it is read without waiting.
class Terminal {
 public:
  explicit Terminal(unsigned short columns = 100) {
    winsize size{24, columns, 0, 0};
    int program = -1;
    EXPECT_EQ(openpty(&person_, &program, nullptr, nullptr, &size), 0);
    fcntl(person_, F_SETFL, O_NONBLOCK);
    out_ = fdopen(program, "w");
  }
  ~Terminal() {
    fclose(out_);
    close(person_);
  }
  std::FILE* out() const { return out_; }
  std::string seen() {
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(person_, buffer, sizeof(buffer))) > 0;) text.append(buffer, n);
    return text;
  }

 private:
  int person_ = -1;
  std::FILE* out_ = nullptr;
};

// What is left on the line after \r has moved the cursor back each time.
std::string on_screen(const std::string& text) {
  std::string line;
  std::size_t column = 0;
  for (char c : text) {
    if (c == '\r') {
      column = 0;
    } else {
      if (column >= line.size()) line.resize(column + 1, ' ');
      line[column++] = c;
    }
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

TEST(ProgressLine, on_a_terminal_is_one_line_that_is_refreshed) {
  Terminal terminal(120);
  ProgressLine line({.batch = 256}, terminal.out());
  for (std::int64_t step = 1; step <= 25; ++step) {
    sleep_ms(10);
    line.step(at_step(100 + step));
  }
  const std::string seen = terminal.seen();
  EXPECT_THAT(seen, Not(HasSubstr("\n")));
  EXPECT_THAT(seen, Not(HasSubstr("\x1b")));
  const auto times = std::count(seen.begin(), seen.end(), '\r');
  EXPECT_GE(times, 2);
  EXPECT_LE(times, 4);  // in a quarter of a second or a little more
  EXPECT_THAT(
      on_screen(seen),
      ContainsRegex("^epoch 2/5  step 1[0-9][0-9]/500  loss 0.4312  lr 0.001  [0-9.]+ k samples/s"
                    "  left: epoch [0-9.]+ m?s, run [0-9.]+ m?s$"));
  line.finish();
  EXPECT_THAT(terminal.seen(), ContainsRegex("step 125/500.*\r?\n$"));
}

TEST(ProgressLine, on_a_terminal_never_wraps) {
  Terminal terminal(40);
  ProgressLine line({}, terminal.out());
  sleep_ms(110);
  line.step(at_step(150));
  EXPECT_EQ(on_screen(terminal.seen()).size(), 39u);
}

TEST(ProgressLine, on_a_terminal_wipes_what_was_longer) {
  Terminal terminal(120);
  ProgressLine line({}, terminal.out());
  sleep_ms(110);
  line.step(at_step(150));
  std::string seen = terminal.seen();
  EXPECT_THAT(on_screen(seen), HasSubstr("left: "));
  sleep_ms(110);
  line.step({.epoch = 1, .step = 151, .loss = 1, .lr = 1});
  seen += terminal.seen();
  EXPECT_THAT(on_screen(seen),
              ContainsRegex("^epoch 1  step 151  loss 1  lr 1  [0-9.]+ samples/s$"));
  line.clear();
  seen += terminal.seen();
  EXPECT_EQ(on_screen(seen), "");
}

TEST(ProgressLine, in_a_log_file_is_a_line_every_few_seconds) {
  const ScratchFolder folder;
  std::FILE* out = std::fopen((folder.path() / "log").c_str(), "w");
  {
    ProgressLine line({.log_every = 0.15, .batch = 2}, out);
    for (std::int64_t step = 1; step <= 40; ++step) {
      sleep_ms(10);
      line.step(at_step(step));
    }
    line.finish();
  }
  std::fclose(out);
  const std::string text = read_file(folder.path() / "log");
  EXPECT_THAT(text, Not(HasSubstr("\r")));
  const auto lines = std::count(text.begin(), text.end(), '\n');
  EXPECT_GE(lines, 2);
  EXPECT_LE(lines, 5);
  EXPECT_THAT(
      text, ContainsRegex("^epoch 2/5  step [0-9]+/500  loss 0.4312  lr 0.001  [0-9.]+ samples/s"));
  EXPECT_THAT(text, ContainsRegex("step 40/500.*\n$"));
}

TEST(ProgressLine, of_text_counts_tokens_too) {
  Terminal terminal(160);
  ProgressLine line({.batch = 4, .sequence = 1000}, terminal.out());
  sleep_ms(110);
  line.step(at_step(150));
  EXPECT_THAT(on_screen(terminal.seen()),
              ContainsRegex("  [0-9.]+ samples/s, [0-9.]+ k tokens/s  left: "));
}

TEST(ProgressLine, says_nothing_when_quiet) {
  Terminal terminal;
  {
    ProgressLine line({.quiet = true, .batch = 10}, terminal.out());
    for (int step = 1; step <= 3; ++step) {
      sleep_ms(110);
      line.step(at_step(step));
    }
    EXPECT_GT(line.samples_per_second(), 0);
    line.clear();
    line.finish();
  }
  EXPECT_EQ(terminal.seen(), "");
}

TEST(ProgressLine, does_not_count_pauses_as_steps) {
  Terminal terminal;
  ProgressLine line({.quiet = true, .batch = 1}, terminal.out());
  line.step(at_step(1));
  line.pause();
  sleep_ms(400);
  line.resume();
  sleep_ms(20);
  line.step(at_step(2));
  line.finish();
  EXPECT_GT(line.samples_per_second(), 5);  // 2 steps in 0.02 s, not in 0.42 s
}

TEST(ProgressLine, costs_a_step_next_to_nothing) {
  Terminal terminal;
  ProgressLine line({}, terminal.out());
  const double start = seconds_now();
  for (std::int64_t step = 1; step <= 100000; ++step) line.step(at_step(step));
  EXPECT_LT((seconds_now() - start) / 100000, 2e-6);
}

}  // namespace
}  // namespace lockstep::train
