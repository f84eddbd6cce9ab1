// What recording an event costs: nothing recorded, in memory, in a mapped file, and the clock that
// a span reads twice; and what is recorded in detail alone.
#include "lockstep/core/events.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>

#include "lockstep/core/event_file.h"

namespace lockstep::events {
namespace {

void clock(benchmark::State& state) {
  timespec t;
  for (auto _ : state) {
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    benchmark::DoNotOptimize(t);
  }
}
BENCHMARK(clock);

void spans(benchmark::State& state) {
  std::int32_t number = 0;
  for (auto _ : state) const Span span(Kind::kWait, "bucket", {.step = 7, .number = ++number});
}
void follow_on(benchmark::State& state) {
  Span span(Kind::kData, "samples");
  for (auto _ : state) span.next(Kind::kForward, "forward", {.step = 7});
}

void nothing(benchmark::State& state) {
  begin(0, 1);
  spans(state);
}
void memory(benchmark::State& state) {
  begin(2048, 1);
  spans(state);
}
void memory_next(benchmark::State& state) {
  begin(2048, 1);
  follow_on(state);
}
// In the current folder: a file system that a run would use.
void file(benchmark::State& state) {
  begin(2048, 1);
  const auto folder = std::filesystem::current_path() / fmt::format("events.{}", ::getpid());
  std::filesystem::create_directory(folder);
  keep_in_file(folder / "rank-0000.ring", {});
  spans(state);
  remove_file();
}
// What is recorded in detail only: a flag where nobody asks for it.
void details(benchmark::State& state, bool wanted) {
  begin(2048, 1);
  in_detail.store(wanted);
  std::int32_t number = 0;
  for (auto _ : state) const Detail op(Kind::kOp, "forward", op_about(++number, 0, 0, 1));
  in_detail.store(false);
}
void detail_left_out(benchmark::State& state) { details(state, false); }
void detail_recorded(benchmark::State& state) { details(state, true); }

BENCHMARK(nothing);
BENCHMARK(memory);
BENCHMARK(memory_next);
BENCHMARK(file);
BENCHMARK(detail_left_out);
BENCHMARK(detail_recorded);

}  // namespace
}  // namespace lockstep::events
