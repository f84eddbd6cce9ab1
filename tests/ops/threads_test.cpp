// oneDNN's bits must depend on nothing but numbers: not on OMP_NUM_THREADS, on the calling thread,
// on who else is inside the op, or on where tensors lie.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "ops/children.h"
#include "ops/dense_support.h"

namespace lockstep::ops {
namespace {

struct Subject {
  std::string name;
  std::unique_ptr<Op> op;
  OpCase work;
};

Subject linear(std::int64_t rows, std::int64_t in, std::int64_t out) {
  return {fmt::format("linear {} x {} -> {}", rows, in, out),
          make(cpu_device(), Linear{rows, in, out, true, Activation::kRelu}),
          {random_values(rows * in, 1),
           random_values(rows * out, 2),
           {random_values(in * out, 3), random_values(out, 4)}}};
}

Subject convolution(Shape input, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                    std::int64_t groups) {
  const int rank = input.rank() - 2;
  const Convolution c{input,
                      out,
                      std::vector(rank, kernel),
                      std::vector(rank, stride),
                      std::vector(rank, kernel / 2),
                      std::vector<std::int64_t>(rank, 1),
                      groups,
                      true,
                      Activation::kRelu};
  std::int64_t w = out * input[-1] / groups;
  for (int i = 0; i < rank; ++i) w *= kernel;
  return {
      fmt::format("convolution {} -> {}, kernel {}, groups {}", input.text(), out, kernel, groups),
      make(cpu_device(), c),
      {random_values(input.elements(), 1),
       random_values(output_shape(c).elements(), 2),
       {random_values(w, 3), random_values(out, 4)}}};
}

// Shapes at which oneDNN would share the work among threads and so change the order of sums.
std::vector<Subject> subjects() {
  std::vector<Subject> all;
  all.push_back(linear(128, 257, 129));
  all.push_back(linear(16, 1024, 10));
  all.push_back(linear(4100, 16, 32));  // a long sum in the weight gradient
  all.push_back(convolution({8, 16, 16, 16}, 16, 3, 1, 1));
  all.push_back(convolution({8, 15, 17, 3}, 16, 3, 2, 1));
  all.push_back(convolution({8, 8, 8, 64}, 32, 1, 1, 1));
  all.push_back(convolution({8, 14, 14, 32}, 32, 3, 1, 32));
  all.push_back(convolution({4, 9, 9, 6}, 9, 3, 1, 3));
  all.push_back(convolution({2, 8, 8, 8, 8}, 16, 3, 1, 1));
  all.push_back(convolution({8, 128, 8}, 16, 5, 1, 1));
  return all;
}

int threads_alive() {
  int n = 0;
  for ([[maybe_unused]] const auto& task : std::filesystem::directory_iterator("/proc/self/task"))
    ++n;
  return n;
}

TEST(OneDnn, gives_the_same_bits_to_three_threads_at_once) {
  for (const Subject& s : subjects()) {
    SCOPED_TRACE(s.name);
    const Gradients alone = run(*s.op, s.work);
    constexpr int kThreads = 3, kRounds = 4;
    std::array<bool, kThreads> same{};
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        ++ready;
        while (ready < kThreads) std::this_thread::yield();
        same[t] = true;
        for (int i = 0; i < kRounds; ++i) same[t] = same[t] && run(*s.op, s.work) == alone;
      });
    }
    for (std::thread& t : threads) t.join();
    for (const bool equal : same) EXPECT_TRUE(equal);
  }
}

TEST(OneDnn, gives_the_same_bits_wherever_tensors_lie) {
  for (const Subject& s : subjects()) {
    SCOPED_TRACE(s.name);
    const Gradients at_page = run(*s.op, s.work);
    for (const std::size_t shift : {64, 128, 256, 512, 1024 + 256, 2048 + 192}) {
      EXPECT_TRUE(run(*s.op, s.work, shift) == at_page) << shift;
    }
  }
}

TEST(OneDnn, starts_no_threads_of_its_own) {
  std::thread([] {}).join();  // a sanitizer's own thread starts with the first
  const int before = threads_alive();
  for (const Subject& s : subjects()) run(*s.op, s.work);
  EXPECT_EQ(threads_alive(), before);
  int inside = 0;
  std::thread caller([&] {
    for (const Subject& s : subjects()) run(*s.op, s.work);
    inside = threads_alive();
  });
  caller.join();
  EXPECT_EQ(inside, before + 1);
}

TEST(OneDnn, never_falls_back_to_its_reference_loops) {
  for (const Subject& s : subjects()) {
    for (const std::string& name : s.op->implementations()) {
      EXPECT_EQ(name.find("ref"), std::string::npos) << s.name << ": " << name;
    }
  }
}

// What the runs below print: a hash of all bits.
TEST(Child, prints_its_digest) {
  std::uint64_t hash = 1469598103934665603u;
  const auto mix = [&hash](const Values& values) {
    for (const float v : values) {
      std::uint32_t bits;
      std::memcpy(&bits, &v, sizeof bits);
      hash = (hash ^ bits) * 1099511628211u;
    }
  };
  for (const Subject& s : subjects()) {
    const Gradients g = run(*s.op, s.work);
    mix(g.output);
    mix(g.d_input);
    for (const Values& d : g.d_parameters) mix(d);
  }
  std::printf("digest %016lx threads %d\n", static_cast<unsigned long>(hash), threads_alive());
}

std::string digest_with(const std::string& environment) {
  const ChildResult child = run_again(environment, "Child.*");
  EXPECT_EQ(child.status, 0) << child.output;
  const auto at = child.output.find("digest ");
  return at == std::string::npos ? "none"
                                 : child.output.substr(at, child.output.find('\n', at) - at);
}

TEST(OneDnn, does_not_listen_to_the_environment) {
  const std::string plain = digest_with("-u OMP_NUM_THREADS");
  EXPECT_NE(plain.find("threads 1"), std::string::npos) << plain;
  EXPECT_EQ(digest_with("OMP_NUM_THREADS=1"), plain);
  EXPECT_EQ(digest_with("OMP_NUM_THREADS=2"), plain);
  EXPECT_EQ(digest_with("OMP_NUM_THREADS=5 OMP_DYNAMIC=false OMP_PROC_BIND=true"), plain);
  EXPECT_EQ(digest_with("ONEDNN_MAX_CPU_ISA=SSE41"), plain);
  EXPECT_EQ(digest_with("ONEDNN_DEFAULT_FPMATH_MODE=BF16"), plain);
}

TEST(OneDnn, is_capped_with_the_run) {
  const std::string plain = digest_with("LOCKSTEP_TEST_ISA=plain");
  EXPECT_EQ(digest_with("LOCKSTEP_TEST_ISA=plain OMP_NUM_THREADS=2"), plain);
  const bool same = digest_with("") == plain;
  EXPECT_EQ(same, isa() == Isa::kPlain);
}

}  // namespace
}  // namespace lockstep::ops
