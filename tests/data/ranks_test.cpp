// Under mpirun: the order does not depend on the number of ranks, and ranks of a node can read each
// other's decoded windows.
#include <gtest/gtest.h>

#include <cstring>
#include <optional>

#include "data/window_store.h"
#include "loading.h"
#include "lockstep/comm/node_store.h"
#include "lockstep/data/import.h"

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
  Manifest manifest = read_manifest(world(), out);
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
  const int lanes = me + 1;  // parts differ in size
  WindowStore store(world(), lanes, layout);
  for (int i = 0; i < lanes; ++i) {
    const Slot slot = store.slot(i, 1);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(slot.input) % 64, 0U);
    for (std::uint32_t row = 0; row < kWindow; ++row) slot.order[row] = row + 1;
    std::memset(slot.input, 16 * me + i, 3 * kWindow);
    std::memset(slot.target, 100 + me, kWindow);
    slot.header->epoch = 4;
    slot.header->lane = 10 * me + i;
    slot.header->window = 2;
    slot.header->samples = kWindow;
    slot.header->state.store(SlotState::kReady, std::memory_order_release);
  }
  world().barrier();
  ASSERT_EQ(store.peers(), ranks);
  for (int peer = 0; peer < ranks; ++peer)
    for (int i = 0; i <= peer; ++i) {
      const Slot slot = store.find(peer, 4, 10 * peer + i, 2);
      ASSERT_NE(slot.header, nullptr);
      EXPECT_EQ(slot.header->samples, kWindow);
      EXPECT_EQ(slot.order[9], 10U);
      EXPECT_EQ(static_cast<int>(slot.input[29]), 16 * peer + i);
      EXPECT_EQ(static_cast<int>(slot.target[9]), 100 + peer);
      EXPECT_EQ(store.find(peer, 4, 10 * peer + i, 3).header, nullptr);
      EXPECT_EQ(store.find(peer, 5, 10 * peer + i, 2).header, nullptr);
    }
  world().barrier();
}

TEST(Ranks, all_refuse_a_bad_file_with_the_same_sentence) {
  const std::string mine = refusal([] { read_manifest(world(), shared_folder() / "absent.h5"); });
  EXPECT_TRUE(contains_all(mine, {"UserError", "absent.h5"}));
  EXPECT_EQ(comm::broadcast_text(world(), mine), mine);
}

}  // namespace
}  // namespace lockstep::data
