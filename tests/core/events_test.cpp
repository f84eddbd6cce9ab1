// Rings hold what was recorded, whatever ended the process, and leave out what is half written.
#include "lockstep/core/events.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "lockstep/core/crash.h"
#include "lockstep/core/error.h"
#include "lockstep/core/event_file.h"
#include "lockstep/core/files.h"
#include "support/allocation_count.h"

namespace lockstep::events {
namespace {

namespace fs = std::filesystem;

class Events : public testing::Test {
 protected:
  Events() {
    std::string name = (fs::temp_directory_path() / "events-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    file_ = folder_ / "events" / "rank-0002.ring";
    fs::create_directory(file_.parent_path());
  }
  ~Events() override {
    begin(0, 1);
    fs::remove_all(folder_);
  }
  void keep() { keep_in_file(file_, {2, 4, "n7", 123, 45}); }
  void flip(std::size_t at) {
    std::fstream f(file_, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(static_cast<std::streamoff>(at));
    const auto c = static_cast<char>(f.get() ^ 1);
    f.seekp(static_cast<std::streamoff>(at));
    f.put(c);
  }
  // Ends as a child process that `body` brings to its end.
  template <class Body>
  int in_child(Body body) {
    const pid_t child = ::fork();
    if (child == 0) {
      body();
      ::_exit(99);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  }
  fs::path folder_, file_;
};

TEST_F(Events, lie_in_the_order_in_which_they_ended_with_all_that_was_said_of_them) {
  begin(16, 2);
  set_activity("training step", 7);
  {
    const Span outer(Kind::kStep, "lane", {.number = 3});
    Span inner(Kind::kData, "samples", {.step = 8, .bytes = 100});
    inner.moved(20);
    inner.next(Kind::kForward, "forward");
  }
  keep();  // what came before is in the file, too
  instant(Kind::kFailure, "missing", {.peer = 1});
  const Ring ring = read_ring(file_);
  EXPECT_EQ(ring.rank, 2);
  EXPECT_EQ(ring.ranks, 4);
  EXPECT_EQ(ring.host, "n7");
  EXPECT_EQ(ring.offset, 123);
  EXPECT_EQ(ring.activity, "training step");
  ASSERT_EQ(ring.threads.size(), 1U);
  const auto& done = ring.threads[0].done;
  ASSERT_EQ(done.size(), 4U);
  EXPECT_EQ(ring.text(done[0]), "samples");
  EXPECT_EQ(done[0].step, 8);
  EXPECT_EQ(done[0].bytes, 120U);
  EXPECT_EQ(done[0].depth, 1U);
  EXPECT_EQ(ring.text(done[1]), "forward");
  EXPECT_EQ(done[1].begin, done[0].end);
  EXPECT_EQ(done[1].step, 7);
  EXPECT_EQ(ring.text(done[2]), "lane");
  EXPECT_EQ(done[2].number, 3);
  EXPECT_LE(done[2].begin, done[0].begin);
  EXPECT_GE(done[2].end, done[1].end);
  EXPECT_EQ(done[3].peer, 1);
  EXPECT_TRUE(ring.threads[0].open.empty());
}

TEST_F(Events, are_recorded_without_an_allocation) {
  begin(16, 1);
  keep();
  const auto record = [] {
    for (int i = 0; i < 100; ++i) {
      Span span(Kind::kWait, "bucket", {.number = i});
      span.next(Kind::kFold, "adding");
      instant(Kind::kMessage, "sent");
      set_activity("training step", i);
    }
  };
  record();  // a thread's first record takes its ring
  const std::int64_t before = test::allocation_count();
  record();
  EXPECT_EQ(test::allocation_count(), before);
}

TEST_F(Events, beyond_the_rings_size_leave_the_last_ones) {
  for (const int count : {15, 16, 17, 1000}) {
    begin(16, 1);
    for (int i = 0; i < count; ++i) const Span span(Kind::kWait, "bucket", {.number = i});
    fs::remove(file_);
    keep();
    const auto& done = read_ring(file_).threads.at(0).done;
    ASSERT_EQ(static_cast<int>(done.size()), std::min(count, 16));
    for (std::size_t i = 0; i < done.size(); ++i)
      EXPECT_EQ(done[done.size() - 1 - i].number, count - 1 - static_cast<int>(i));
  }
}

TEST_F(Events, that_are_half_written_are_left_out) {
  begin(16, 1);
  keep();
  for (int i = 0; i < 5; ++i) const Span span(Kind::kWait, "bucket", {.number = i});
  const std::string whole = read_file(file_);
  const auto second = read_ring(file_).threads[0].done[1];
  const std::size_t at =
      whole.find(std::string(reinterpret_cast<const char*>(&second), sizeof second));
  ASSERT_NE(at, std::string::npos);
  for (const std::size_t byte : {0, 9, 17, 30, 33, 41, 47, 50, 57, 63}) {
    flip(at + byte);
    const auto thread = read_ring(file_).threads[0];
    EXPECT_EQ(thread.torn, 1U) << byte;
    EXPECT_EQ(thread.done.size(), 4U) << byte;
    flip(at + byte);
  }
  EXPECT_EQ(read_ring(file_).threads[0].torn, 0U);
}

TEST_F(Events, in_a_damaged_file_are_refused_by_its_name) {
  begin(16, 1);
  keep();
  const auto refused = [&] {
    try {
      read_ring(file_);
    } catch (const DataError& error) {
      return std::string(error.what()).find(file_.string()) != std::string::npos;
    }
    return false;
  };
  EXPECT_FALSE(refused());
  for (const std::size_t byte : {0, 9, 17, 40}) {
    flip(byte);
    EXPECT_TRUE(refused()) << byte;
    flip(byte);
  }
  const auto size = fs::file_size(file_);
  fs::resize_file(file_, size - 1);
  EXPECT_TRUE(refused());
  fs::resize_file(file_, 20);
  EXPECT_TRUE(refused());
  EXPECT_THROW(read_ring(folder_ / "none.ring"), UserError);
}

TEST_F(Events, survive_a_kill_with_what_goes_on) {
  const int status = in_child([&] {
    begin(16, 1);
    keep();
    set_step(12);
    const Span outer(Kind::kFold, "the fold");
    { const Span before(Kind::kWait, "bucket", {.number = 0}); }
    const Span inner(Kind::kWait, "bucket", {.number = 1});
    std::raise(SIGKILL);
  });
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  const Ring ring = read_ring(file_);
  const auto& thread = ring.threads.at(0);
  ASSERT_EQ(thread.done.size(), 1U);
  ASSERT_EQ(thread.open.size(), 2U);
  EXPECT_EQ(ring.text(thread.open[0]), "the fold");
  EXPECT_EQ(thread.open[1].number, 1);
  EXPECT_EQ(thread.open[1].step, 12);
  EXPECT_EQ(thread.open[1].end, 0U);
}

TEST_F(Events, of_threads_lie_apart_and_a_place_is_used_again) {
  begin(16, 2);
  keep();
  { const Span span(Kind::kStep, "lane"); }
  for (int i = 0; i < 5; ++i) {
    std::thread([] {
      name_thread("writer");
      const Span span(Kind::kFile, "writing");
    }).join();
  }
  const Ring ring = read_ring(file_);
  ASSERT_EQ(ring.threads.size(), 2U);
  EXPECT_EQ(ring.threads[0].done.size(), 1U);
  EXPECT_EQ(ring.threads[1].name, "writer");
  EXPECT_EQ(ring.threads[1].done.size(), 5U);
}

TEST_F(Events, cost_nothing_and_leave_nothing_where_none_are_kept) {
  begin(0, 2);
  { const Span span(Kind::kStep, "lane"); }
  keep();
  EXPECT_FALSE(fs::exists(file_));
  EXPECT_FALSE(recording());
}

TEST_F(Events, deeper_than_is_kept_open_are_recorded_all_the_same) {
  begin(64, 1);
  keep();
  const std::function<void(int)> down = [&](int depth) {
    const Span span(Kind::kStep, "lane", {.number = depth});
    if (depth < 30) down(depth + 1);
  };
  down(0);
  EXPECT_EQ(read_ring(file_).threads[0].done.size(), 31U);
}

// An image is as large as what is in use: rings that have not come round, and those that have.
TEST_F(Events, are_the_same_in_an_image_and_in_a_file) {
  for (const int count : {0, 1, 5, 16, 17, 1000}) {
    begin(16, 3, 100);
    set_note("what the ops are called");
    for (int i = 0; i < count; ++i) const Span span(Kind::kWait, "bucket", {.number = i});
    fs::remove(file_);
    keep();
    const std::string bytes = image({2, 4, "n7", 123, 45});
    EXPECT_LE(bytes.size(), fs::file_size(file_));
    const Ring of_image = parse_ring(bytes, "image"), of_file = read_ring(file_);
    EXPECT_EQ(of_image.rank, 2);
    EXPECT_EQ(of_image.offset, 123);
    EXPECT_EQ(of_image.note, "what the ops are called");
    EXPECT_EQ(of_file.note, of_image.note);
    ASSERT_EQ(of_image.threads.size(), of_file.threads.size());
    if (count == 0) continue;
    const auto &mine = of_image.threads.at(0), &its = of_file.threads.at(0);
    EXPECT_EQ(mine.dropped, static_cast<std::uint64_t>(std::max(0, count - 16)));
    ASSERT_EQ(mine.done.size(), its.done.size());
    for (std::size_t i = 0; i < mine.done.size(); ++i) {
      EXPECT_EQ(mine.done[i].check, its.done[i].check);
      EXPECT_EQ(of_image.text(mine.done[i]), "bucket");
    }
  }
  set_note(std::string(101, 'x'));  // too long: the earlier one stays
  EXPECT_EQ(parse_ring(image({}), "image").note, "what the ops are called");
}

TEST_F(Events, of_detail_are_recorded_where_that_is_asked_for) {
  for (const bool wanted : {false, true}) {
    begin(16, 1);
    in_detail.store(wanted);
    { const Detail op(Kind::kOp, "forward", op_about(3, 7, 2, 4)); }
    sent("bucket", 100, 1, 2);
    count("loss", 0.125);
    in_detail.store(false);
    const Span always(Kind::kStep, "lane");
    const Ring ring = parse_ring(image({}), "image");
    ASSERT_EQ(ring.threads.size(), 1U);
    const auto& done = ring.threads[0].done;
    ASSERT_EQ(done.size(), wanted ? 3U : 0U);
    ASSERT_EQ(ring.threads[0].open.size(), 1U);
    if (!wanted) continue;
    EXPECT_EQ(done[0].number, 3);
    EXPECT_EQ(done[0].peer, 7);
    EXPECT_EQ(done[0].bytes, 2 * (std::uint64_t{1} << 32) + 4);
    EXPECT_EQ(done[1].peer, 2);
    EXPECT_EQ(done[1].bytes, 100U);
    EXPECT_EQ(std::bit_cast<double>(done[2].bytes), 0.125);
  }
}

TEST_F(Events, go_with_their_folder_at_a_clean_end) {
  begin(16, 1);
  keep();
  EXPECT_EQ(std::string(folder()), file_.parent_path().string());
  remove_file();
  EXPECT_EQ(std::string(folder()), "");
  EXPECT_FALSE(fs::exists(file_.parent_path()));
}

TEST_F(Events, that_cannot_have_a_file_stay_in_memory) {
  begin(16, 1);
  EXPECT_THROW(keep_in_file(folder_ / "none" / "rank-0000.ring", {}), UserError);
  { const Span span(Kind::kStep, "lane"); }
  keep();
  EXPECT_EQ(read_ring(file_).threads.at(0).done.size(), 1U);
}

TEST_F(Events, of_a_crash_are_marked_and_a_sentence_says_where) {
  for (const int signal : {SIGSEGV, SIGFPE, SIGABRT, SIGBUS}) {
    fs::remove(file_);
    const fs::path said = folder_ / "said";
    const int status = in_child([&] {
      begin(16, 1);
      keep();
      if (std::freopen(said.c_str(), "w", stderr) == nullptr) return;
      crash::install("rank 2 (host n7)");
      set_activity("training step", 12);
      const Span span(Kind::kForward, "forward");
      volatile std::uintptr_t nowhere = 8;  // volatile: the compiler is not to know
      if (signal == SIGSEGV) *reinterpret_cast<volatile int*>(nowhere) = 1;
      if (signal == SIGABRT) std::abort();
      if (signal == SIGBUS) {  // on a thread that has recorded nothing
        std::thread([&] { ::pthread_kill(::pthread_self(), signal); }).join();
      }
      ::kill(::getpid(), signal);  // as from outside
    });
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signal) << status;
    const std::string text = read_file(said);
    EXPECT_EQ(text.find("lockstep: rank 2 (host n7) crashed (SIG"), 0U) << text;
    const std::string in = signal == SIGBUS ? "training step" : "forward";
    EXPECT_NE(text.find(" in " + in + " at step 12; its last events: lockstep trace " +
                        file_.parent_path().string()),
              std::string::npos)
        << text;
    const Ring ring = read_ring(file_);
    const auto& last = ring.threads.at(ring.threads.size() - 1).done.back();
    EXPECT_EQ(static_cast<Kind>(last.kind), Kind::kFailure);
    EXPECT_NE(text.find("(" + ring.text(last) + ")"), std::string::npos);
  }
}

}  // namespace
}  // namespace lockstep::events
