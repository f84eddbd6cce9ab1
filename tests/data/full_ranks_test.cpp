// Under mpirun: Shuffle::kFull gives every lane its samples, whatever the ranks and nodes among
// which the dataset lies.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <functional>
#include <optional>
#include <thread>

#include "comm/mpi_call.h"
#include "comm/shared_window.h"
#include "data/held_rows.h"
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

LoaderOptions full(std::int64_t lanes, std::int64_t accumulate, std::int64_t microbatch,
                   std::int64_t window) {
  LoaderOptions options = options_for(lanes, accumulate, microbatch, window);
  options.shuffle = Shuffle::kFull;
  return options;
}

struct Placing {
  const char* name;
  std::function<int(int)> node_of;
};
const std::vector<Placing>& placings() {
  static const std::vector<Placing> all{
      {"one node", [](int) { return 0; }},
      {"every rank alone", [](int rank) { return rank; }},
      {"in turn on two", [](int rank) { return rank % 2; }},
      {"uneven", [](int rank) { return std::array{0, 1, 1, 0, 2, 1, 1, 0}[rank % 8]; }},
  };
  return all;
}

std::unique_ptr<comm::Communicator> placed(const Placing& placing) {
  return comm::make_communicator({60, test::node_list(world().size(), placing.node_of)});
}

void expect_rows(Loader& loader, const LoaderOptions& options, const comm::LaneRange& lanes,
                 Position at, std::int64_t samples, const std::string& where) {
  LoaderOptions whole = options;
  whole.window = samples;
  for (std::int64_t lane = lanes.begin; lane < lanes.end; ++lane)
    ASSERT_EQ(take(loader, options, lane, at, 1), expected(samples, 7, whole, lane, at, 1))
        << where << ", lane " << lane << ", epoch " << at.epoch << ", step " << at.step;
}

TEST(FullRanks, get_the_same_samples_wherever_these_lie) {
  for (const std::int64_t samples : {1009, 97}) {
    const Manifest manifest = numbered_rows(shared_folder(), samples, 7, 4);
    for (const Placing& placing : placings()) {
      const auto ranks = placed(placing);
      for (const std::int64_t window : {0, 1, 13, 40}) {
        const LoaderOptions options = full(8, 2, 3, window);
        const auto loader = make_loader(*ranks, manifest, options);
        const comm::LaneRange mine =
            comm::cut_lanes(8, ranks->size())[static_cast<std::size_t>(ranks->topology().position)];
        const std::size_t planned = loader->window_bytes();
        const Position first{1, samples == 97 ? 1 : 5};
        loader->start({&mine, 1}, first);
        EXPECT_EQ(loader->window_bytes(), planned);
        for (std::int64_t s = 0; s < 50; ++s) {  // over epochs' ends
          const Position at = after(first, s, loader->steps_per_epoch());
          loader->advance(at);
          expect_rows(*loader, options, mine, at, samples, placing.name);
        }
        // Which of a node's ranks sends goes by the receivers' positions: some may have none.
        EXPECT_EQ(ranks->max(loader->times().bytes_sent) > 0, ranks->topology().nodes() > 1);
      }
    }
  }
}

TEST(FullRanks, get_what_a_plain_reader_gives_bit_for_bit) {
  const fs::path out = shared_folder() / "images.h5";
  constexpr std::int64_t kSamples = 331, kPixels = 6 * 5;
  if (world().rank() == 0) {
    std::vector<std::byte> pixels(kSamples * kPixels), labels(kSamples);
    for (std::size_t i = 0; i < pixels.size(); ++i)
      pixels[i] = static_cast<std::byte>(i * 2654435761U >> 13);
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::byte>(i % 5);
    for (const auto& [name, bytes] :
         {std::pair{"images.idx", idx_bytes(8, {kSamples, 6, 5}, pixels)},
          std::pair{"labels.idx", idx_bytes(8, {kSamples}, labels)}})
      write_bytes(shared_folder() / name, bytes.data(), bytes.size());
    ImportOptions options;
    options.train = {shared_folder() / "images.idx", shared_folder() / "labels.idx"};
    options.out = out;
    options.val_fraction = 0;
    options.chunk_bytes = 300;
    options.deflate = 4;
    options.overwrite = true;
    import_dataset(options, nullptr);
  }
  world().barrier();
  const Manifest manifest = read_manifest(world(), {.path = {out.string()}});
  for (const Placing& placing : placings()) {
    const auto ranks = placed(placing);
    LoaderOptions options = full(8, 1, 4, 8);
    options.normalise = Normalise::kStandard;
    const auto reader = make_row_reader(manifest, options);
    const auto loader = make_loader(*ranks, manifest, options);
    const comm::LaneRange mine =
        comm::cut_lanes(8, ranks->size())[static_cast<std::size_t>(ranks->topology().position)];
    loader->start({&mine, 1}, {});
    std::vector<float> input(4 * kPixels), plain(kPixels);
    std::vector<std::int32_t> labels(4);
    for (std::int64_t s = 0; s < 25; ++s) {
      const Position at = after({}, s, loader->steps_per_epoch());
      loader->advance(at);
      for (std::int64_t lane = mine.begin; lane < mine.end; ++lane) {
        loader->fill(lane, at, 0, input.data(), labels.data(), nullptr);
        const auto rows = expected(kSamples, 1, options, lane, at, 1);
        for (std::size_t i = 0; i < rows.size(); ++i) {
          std::int32_t label = -1;
          reader->read(rows[i], 1, plain.data(), &label, nullptr);
          ASSERT_EQ(std::memcmp(plain.data(), input.data() + i * kPixels, kPixels * sizeof(float)),
                    0);
          ASSERT_EQ(label, labels[i]);
        }
      }
    }
  }
}

// Steps are left out, a few or more than are under way, as when a run goes back to a checkpoint.
TEST(FullRanks, skip_steps) {
  const Manifest manifest = numbered_rows(shared_folder(), 1009, 7, 0);
  for (const Placing& placing : placings()) {
    const auto ranks = placed(placing);
    const LoaderOptions options = full(8, 1, 4, 8);
    const auto loader = make_loader(*ranks, manifest, options);
    const comm::LaneRange mine =
        comm::cut_lanes(8, ranks->size())[static_cast<std::size_t>(ranks->topology().position)];
    Position at{0, 0};
    loader->start({&mine, 1}, at);
    for (const std::int64_t skip : {0, 1, 2, 3, 1, 7, 1, 1, 40, 4, 11, 200, 1}) {
      at = after(at, skip, loader->steps_per_epoch());
      if (skip == 40) std::this_thread::sleep_for(std::chrono::milliseconds(ranks->rank()));
      loader->advance(at);
      expect_rows(*loader, options, mine, at, 1009, placing.name);
    }
  }
}

// Each step another rank of the node takes each of its lanes.
TEST(FullRanks, fill_each_others_lanes_on_a_node) {
  const Manifest manifest = numbered_rows(shared_folder(), 1009, 7, 4);
  for (const Placing& placing : placings()) {
    const auto ranks = placed(placing);
    const comm::Topology& topology = ranks->topology();
    const LoaderOptions options = full(8, 2, 3, 12);
    const auto cut = comm::cut_lanes(8, ranks->size());
    const auto loader = make_loader(*ranks, manifest, options);
    loader->start({&cut[static_cast<std::size_t>(topology.position)], 1}, {0, 3}, true, 8);
    ASSERT_TRUE(loader->lanes_move());
    ASSERT_FALSE(loader->lanes_leave());
    const std::int64_t begin = cut[topology.node_begin[topology.node()]].begin;
    const std::int64_t end = cut[topology.node_begin[topology.node() + 1] - 1].end;
    for (std::int64_t s = 0; s < 40; ++s) {
      const Position at = after({0, 3}, s, loader->steps_per_epoch());
      loader->advance(at);
      for (std::int64_t lane = begin; lane < end; ++lane) {
        if ((lane * 5 + s) % topology.local_ranks() == topology.local())
          expect_rows(*loader, options, {lane, lane + 1}, at, 1009, placing.name);
      }
      ranks->barrier();  // as the end of a step is
    }
  }
}

// As the servers of a parameter server are; messages of many pieces.
TEST(FullRanks, hold_samples_without_having_lanes) {
  if (world().size() < 2) return;
  const Manifest manifest = numbered_rows(shared_folder(), 1009, 7, 0);
  comm::set_message_limit(5);
  for (const Placing& placing : placings()) {
    const auto ranks = placed(placing);
    const int workers = (ranks->size() + 1) / 2, position = ranks->topology().position;
    const LoaderOptions options = full(8, 1, 4, 12);
    const comm::LaneRange mine =
        position < workers ? comm::cut_lanes(8, workers)[static_cast<std::size_t>(position)]
                           : comm::LaneRange{};
    const auto loader = make_loader(*ranks, manifest, options);
    loader->start({&mine, 1}, {});
    for (std::int64_t s = 0; s < 40; ++s) {
      const Position at = after({}, s, loader->steps_per_epoch());
      loader->advance(at);
      expect_rows(*loader, options, mine, at, 1009, placing.name);
    }
  }
  world().barrier();
  comm::set_message_limit(INT64_MAX);
}

TEST(FullRanks, hold_each_row_once) {
  for (const std::int64_t samples : {97, 1009}) {
    const Manifest manifest = numbered_rows(shared_folder(), samples, 7, 4);
    for (const Placing& placing : placings()) {
      const auto ranks = placed(placing);
      const Samples samples_of(manifest, full(1, 1, 1, 0));
      const HeldRows held(*ranks, samples_of, samples == 97 ? 1 : 3);
      const comm::Topology& topology = ranks->topology();
      for (std::int64_t row = 0; row < samples; ++row) {
        ASSERT_EQ(held.has(row), held.node_of(row) == topology.node());
        if (!held.has(row)) continue;
        float numbers[2];
        std::memcpy(numbers, held.input(row), sizeof numbers);
        ASSERT_EQ(numbers[0], static_cast<float>(row));
        ASSERT_EQ(numbers[1], static_cast<float>(row * row % 97));
      }
      const bool first = topology.local() == 0;
      const std::int64_t here = first ? held.end() - held.first() : 0;
      const auto all = ranks->gather_all(std::as_bytes(std::span(&here, 1)));
      std::int64_t sum = 0;
      for (std::size_t at = 0; at < all.size(); at += sizeof here) {
        std::int64_t of_one;
        std::memcpy(&of_one, all.data() + at, sizeof of_one);
        sum += of_one;
      }
      EXPECT_EQ(sum, samples);
      ranks->barrier();  // peers read this rank's share
    }
  }
}

TEST(FullRanks, refuse_a_dataset_that_shared_memory_cannot_hold) {
  if (world().size() == 1) return;  // one rank uses private memory
  const Manifest manifest = numbered_rows(shared_folder(), 1009, 7, 0);
  for (const Placing& placing : placings()) {
    const auto ranks = placed(placing);
    // On one node alone, of several ranks: the others must hear of it.
    const std::vector<int>& begin = ranks->topology().node_begin;
    int node = 0;
    while (node < ranks->topology().nodes() && begin[node + 1] - begin[node] == 1) ++node;
    if (node == ranks->topology().nodes()) continue;
    if (ranks->topology().node() == node) comm::set_shared_memory_limit(1000);
    const LoaderOptions options = full(8, 1, 4, 12);
    const comm::LaneRange mine =
        comm::cut_lanes(8, ranks->size())[static_cast<std::size_t>(ranks->topology().position)];
    const auto loader = make_loader(*ranks, manifest, options);
    EXPECT_TRUE(contains_all(refusal([&] {
                               loader->start({&mine, 1}, {});
                             }),
                             {"UserError", "/dev/shm", "this node's samples", "data.shuffle"}))
        << placing.name;
    comm::set_shared_memory_limit(-1);
    world().barrier();
  }
}

TEST(FullRanks, all_end_at_a_sample_that_one_of_them_cannot_trust) {
  const fs::path csv = shared_folder() / "bad.csv", out = shared_folder() / "bad.h5";
  if (world().rank() == 0) {
    std::string text = "a,label\n";
    for (int i = 0; i < 200; ++i) text += fmt::format("{},{}\n", i, i == 150 ? 7 : i % 5);
    write_text(csv, text);
    ImportOptions options;
    options.train = {csv};
    options.out = out;
    options.val_fraction = 0;
    options.overwrite = true;
    import_dataset(options, nullptr);
  }
  world().barrier();
  const Manifest manifest = read_manifest(world(), {.path = {out.string()}});
  const LoaderOptions options = full(8, 1, 4, 12);  // 5 classes
  const comm::LaneRange mine =
      comm::cut_lanes(8, world().size())[static_cast<std::size_t>(world().topology().position)];
  const auto loader = make_loader(world(), manifest, options);
  EXPECT_TRUE(contains_all(refusal([&] {
                             loader->start({&mine, 1}, {});
                           }),
                           {"DataError", "bad.h5", "row 150", "7"}));
}

}  // namespace
}  // namespace lockstep::data
