// Under mpirun: the order does not depend on the number of ranks, and ranks of a node can read each
// other's decoded windows.
#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <random>
#include <thread>

#include "comm/shared_window.h"
#include "data/window_store.h"
#include "loading.h"
#include "lockstep/comm/fold.h"
#include "lockstep/comm/node_store.h"
#include "lockstep/data/import.h"
#include "support/node_list.h"

namespace lockstep::data {
namespace {

using namespace testing;

// One folder for all ranks, made by rank 0.
const fs::path& shared_folder() {
  static std::optional<TemporaryFolder> mine;
  if (world().rank() == 0 && !mine) mine.emplace();
  static const fs::path path = comm::broadcast_text(world(), mine ? mine->path().string() : "");
  return path;
}

TEST(Ranks, get_the_same_samples_whatever_their_number) {
  for (const int deflate : {0, 4}) {
    const Manifest manifest = numbered_rows(shared_folder(), 1009, 7, deflate);
    for (const std::int64_t lanes : {8, 12}) {
      const LoaderOptions options = options_for(lanes, 1, 4, 33);
      const auto cut = comm::cut_lanes(lanes, world().size());
      const comm::LaneRange mine = cut[static_cast<std::size_t>(world().topology().position)];
      const auto loader = make_loader(world(), manifest, options);
      loader->start({&mine, 1}, {0, 5});
      for (std::int64_t s = 0; s < 60; ++s)
        for (std::int64_t lane = mine.begin; lane < mine.end; ++lane) {
          const Position at = after({0, 5}, s, loader->steps_per_epoch());
          ASSERT_EQ(take(*loader, options, lane, at, 1), expected(1009, 7, options, lane, at, 1));
        }
      EXPECT_EQ(loader->times().samples, 60 * 4 * mine.size());  // what was dealt, no more
      world().barrier();
    }
  }
}

// A stream whose token tells its place: rows 2 i and 2 i + 1 are i / 256 and i % 256.
TEST(Ranks, get_the_same_sequences_whatever_their_number) {
  constexpr std::int64_t kSequence = 8, kSequences = 1000;
  const fs::path out = shared_folder() / "stream.h5";
  if (world().rank() == 0) {
    std::string text;
    for (int i = 0; i <= kSequence * kSequences / 2; ++i)
      text += {static_cast<char>(i / 256), static_cast<char>(i % 256)};
    write_text(shared_folder() / "stream.txt", text);
    ImportOptions options;
    options.train = {shared_folder() / "stream.txt"};
    options.out = out;
    options.val_fraction = 0;
    options.chunk_bytes = 300;
    options.deflate = 4;
    options.overwrite = true;
    import_dataset(options, nullptr);
  }
  world().barrier();
  Manifest manifest = read_manifest(world(), {.path = {out.string()}});
  cut_sequences(manifest, kSequence);
  LoaderOptions options = options_for(8, 1, 5, 33);
  options.input_is_tokens = true;
  options.vocabulary = options.classes = 256;
  const auto cut = comm::cut_lanes(8, world().size());
  const comm::LaneRange mine = cut[static_cast<std::size_t>(world().topology().position)];
  const auto loader = make_loader(world(), manifest, options);
  loader->start({&mine, 1}, {});
  const Split& train = manifest.splits[0];
  ASSERT_EQ(train.samples, kSequences);
  const std::int64_t chunk = order_chunk(train.fields[0], train.fields[1]);
  std::vector<std::int32_t> input(5 * kSequence), labels(5 * kSequence);
  for (std::int64_t step = 0; step < 60; ++step)  // two epochs and a half
    for (std::int64_t lane = mine.begin; lane < mine.end; ++lane) {
      const Position at = after({}, step, loader->steps_per_epoch());
      loader->fill(lane, at, 0, input.data(), labels.data(), nullptr);
      const auto rows = expected(kSequences, chunk, options, lane, at, 1);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::int32_t* sequence = input.data() + i * kSequence;
        ASSERT_EQ((sequence[0] * 256 + sequence[1]) * 2, rows[i] * kSequence);
        ASSERT_TRUE(std::equal(sequence + 1, sequence + kSequence, labels.data() + i * kSequence));
        const std::int32_t next = (sequence[6] * 256 + sequence[7] + 1) / 256;
        ASSERT_EQ(labels[i * kSequence + kSequence - 1], next);
      }
    }
  world().barrier();
}

TEST(Ranks, read_each_others_windows) {
  const int ranks = world().topology().local_ranks(), me = world().topology().local();
  constexpr std::int64_t kWindow = 10;
  const SlotLayout layout = slot_layout(kWindow, 3, 1);
  std::vector<std::int64_t> lanes;  // parts differ in size
  for (int i = 0; i <= me; ++i) lanes.push_back(10 * me + i);
  WindowStore store(world(), lanes, 5, layout);
  for (int i = 0; i <= me; ++i) {
    const Slot slot = store.slot(me, i, 5);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(slot.input) % 64, 0U);
    for (std::uint32_t row = 0; row < kWindow; ++row) slot.order[row] = row + 1;
    std::memset(slot.input, 16 * me + i, 3 * kWindow);
    std::memset(slot.target, 100 + me, kWindow);
    store.progress(me, i).decoded.store(6, std::memory_order_release);
    store.signal(me).raise();
  }
  ASSERT_EQ(store.parts(), ranks);
  double waited = 0;
  for (int peer = 0; peer < ranks; ++peer) {
    ASSERT_EQ(store.lanes(peer), peer + 1);
    for (int i = 0; i <= peer; ++i) {
      EXPECT_EQ(store.progress(peer, i).lane, 10 * peer + i);
      ASSERT_TRUE(store.await(peer, i, 5, waited));  // its owner may be later than this rank
      const Slot slot = store.slot(peer, i, 5);
      EXPECT_EQ(slot.order[9], 10U);
      EXPECT_EQ(static_cast<int>(slot.input[29]), 16 * peer + i);
      EXPECT_EQ(static_cast<int>(slot.target[9]), 100 + peer);
    }
  }
  world().barrier();
  store.fail("no window 6");
  for (int peer = 0; peer < ranks; ++peer) {
    EXPECT_FALSE(store.await(peer, peer, 6, waited));
    EXPECT_EQ(store.error(peer), "no window 6");
  }
  world().barrier();
}

// Each step another rank takes each lane; nothing but a barrier holds the steps together.
TEST(Ranks, fill_each_others_lanes) {
  const Manifest manifest = numbered_rows(shared_folder(), 1009, 7, 4);
  const std::int64_t lanes = 8;
  const LoaderOptions options = options_for(lanes, 2, 3, 10);  // a window ends every other step
  const auto cut = comm::cut_lanes(lanes, world().size());
  const auto loader = make_loader(world(), manifest, options);
  loader->start({&cut[static_cast<std::size_t>(world().topology().position)], 1}, {0, 3}, true);
  ASSERT_TRUE(loader->lanes_move());
  for (std::int64_t s = 0; s < 50; ++s) {
    const Position at = after({0, 3}, s, loader->steps_per_epoch());
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      if ((lane * 5 + s) % world().size() != world().rank()) continue;
      ASSERT_EQ(take(*loader, options, lane, at, 1), expected(1009, 7, options, lane, at, 1));
    }
    world().barrier();
  }
}

// At windows' edges lanes go to other nodes, announced at the edge before. Without room for more
// lanes than at first, those that come wait for the places of those that go.
TEST(Ranks, fill_lanes_that_come_from_other_nodes) {
  const int size = world().size();
  if (size == 1) return;
  const auto apart = comm::make_communicator(
      {30, test::node_list(size, [](int rank) { return rank % 3 == 1 ? 1 : 0; })});
  const comm::Topology& topology = apart->topology();
  const std::int64_t lanes = 3 * size;
  const Manifest manifest = numbered_rows(shared_folder(), 3011, 7, 4);
  std::mt19937 random(7);  // the same on all ranks
  for (const std::int64_t window : {4, 10, 17, 100, -4, -10, -17, -100}) {
    const bool room = window > 0;
    const LoaderOptions options = options_for(lanes, 1, 3, std::abs(window));
    const auto loader = make_loader(*apart, manifest, options);
    std::vector<comm::LaneRange> now = comm::cut_lanes(lanes, size), next = now;
    Position at{0, 2};
    const std::int64_t places = comm::lane_places(topology, lanes, comm::Dealing::kMeasured);
    EXPECT_GT(loader->window_bytes(places), loader->window_bytes());
    const std::size_t bytes = loader->window_bytes(room ? places : 0);
    loader->start({&now[static_cast<std::size_t>(topology.position)], 1}, at, true,
                  room ? places : 0);
    EXPECT_EQ(loader->window_bytes(), bytes);
    ASSERT_TRUE(loader->lanes_leave());
    bool announced = false;
    for (int s = 0; s < 60; ++s, at = after(at, 1, loader->steps_per_epoch())) {
      const std::int64_t begins = 3 * at.step;
      EXPECT_EQ(loader->window_begins(at),
                at.step == 0 || begins / options.window != (begins - 3) / options.window);
      if (loader->window_begins(at)) {
        if (announced) now = next;
        if (!announced) {
          for (int p = 1; p < size; ++p)  // each border anywhere between its neighbours
            next[p - 1].end = next[p].begin =
                next[p - 1].begin + 1 +
                static_cast<std::int64_t>(random() % (next[p].end - next[p - 1].begin - 1));
        }
        announced = !announced;
        if (s % size == topology.position)
          std::this_thread::sleep_for(std::chrono::microseconds(500));
        loader->deal(now, next, at);
      }
      const comm::LaneRange& mine = now[static_cast<std::size_t>(topology.position)];
      for (std::int64_t lane = mine.begin; lane < mine.end; ++lane)
        ASSERT_EQ(take(*loader, options, lane, at, 1), expected(3011, 7, options, lane, at, 1))
            << "window " << window << ", step " << s;
      apart->barrier();
    }
  }
}

TEST(Ranks, keep_their_lanes_where_shared_memory_is_too_small) {
  if (world().size() == 1) return;  // one rank uses private memory
  comm::set_shared_memory_limit(10000);
  ::testing::internal::CaptureStderr();
  const Manifest manifest = numbered_rows(shared_folder(), 1009, 7, 0);
  const LoaderOptions options = options_for(8, 1, 4, 33);
  const comm::LaneRange mine =
      comm::cut_lanes(8, world().size())[static_cast<std::size_t>(world().topology().position)];
  const auto loader = make_loader(world(), manifest, options);
  loader->start({&mine, 1}, {}, true);
  const std::string said = ::testing::internal::GetCapturedStderr();
  comm::set_shared_memory_limit(-1);
  EXPECT_EQ(said.find("lanes cannot move") != std::string::npos, world().rank() == 0) << said;
  EXPECT_FALSE(loader->lanes_move());
  EXPECT_EQ(take(*loader, options, mine.begin, {}, 5),
            expected(1009, 7, options, mine.begin, {}, 5));
  world().barrier();
}

TEST(Ranks, all_refuse_a_bad_file_with_the_same_sentence) {
  const std::string mine =
      refusal([] { read_manifest(world(), {.path = {(shared_folder() / "absent.h5").string()}}); });
  EXPECT_TRUE(contains_all(mine, {"UserError", "absent.h5"}));
  EXPECT_EQ(comm::broadcast_text(world(), mine), mine);
}

}  // namespace
}  // namespace lockstep::data
