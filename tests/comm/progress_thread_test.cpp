#include "comm/progress_thread.h"

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>

namespace lockstep::comm {
namespace {

using namespace std::chrono_literals;

// What a look touches is not atomic: the thread sanitizer sees a look beside the own thread.
struct Looks {
  int count = 0;
  void wait_for_more(ProgressThread& thread, int more) {
    int before = 0, now = 0;
    {
      const Presence presence(&thread);
      before = count;
    }
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (now < before + more && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(200us);
      const Presence presence(&thread);
      now = count;
    }
    EXPECT_GE(now, before + more);
  }
};

TEST(ProgressThread, looks_only_while_its_owner_is_outside) {
  ProgressThread thread;
  Looks looks;
  thread.attend(&looks, [&] { ++looks.count; });
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(looks.count, 0);
  thread.leave();
  looks.wait_for_more(thread, 3);
  thread.enter();
  const int seen = looks.count;
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(looks.count, seen);
  thread.forget(&looks);
  thread.leave();
  std::this_thread::sleep_for(5ms);
  thread.enter();
  EXPECT_EQ(looks.count, seen);
}

TEST(ProgressThread, leaves_its_owner_where_a_presence_found_it) {
  ProgressThread thread;
  {
    const Presence inside(&thread);
    EXPECT_TRUE(thread.inside());
  }
  EXPECT_TRUE(thread.inside());
  thread.leave();
  {
    const Presence outer(&thread);
    { const Presence inner(&thread); }
    EXPECT_TRUE(thread.inside());
  }
  EXPECT_FALSE(thread.inside());
  {
    Presence ends(&thread);
    ends.then_inside();
  }
  EXPECT_TRUE(thread.inside());
  std::thread([&] { const Presence of_another_thread(&thread); }).join();
  EXPECT_TRUE(thread.inside());
  const Presence nothing(nullptr);
}

TEST(ProgressThread, hands_what_it_throws_to_its_owner) {
  ProgressThread thread;
  Looks looks;
  thread.attend(&looks, [&] {
    ++looks.count;
    throw std::runtime_error("lost");
  });
  thread.leave();
  std::this_thread::sleep_for(20ms);
  EXPECT_THROW(
      {
        for (int i = 0; i < 1000; ++i) {
          thread.enter();
          thread.leave();
          std::this_thread::sleep_for(10ms);
        }
      },
      std::runtime_error);
  EXPECT_TRUE(thread.inside());
  EXPECT_EQ(looks.count, 1);
}

TEST(ProgressThread, ends_whether_its_owner_is_inside_or_not) {
  { ProgressThread thread; }
  ProgressThread thread;
  thread.leave();
}

}  // namespace
}  // namespace lockstep::comm
