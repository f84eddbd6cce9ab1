// Under mpirun: the ranks of a node fill and read one cache, and what they train on is the same
// with and without it.
#include <gtest/gtest.h>

#include <random>

#include "comm/shared_window.h"
#include "counted_units.h"
#include "loading.h"
#include "lockstep/comm/node_store.h"
#include "support/node_list.h"

namespace lockstep::data {
namespace {

using namespace testing;

fs::path shared_folder(comm::Communicator& communicator) {
  static std::vector<std::unique_ptr<TemporaryFolder>> mine;
  if (communicator.rank() == 0) mine.push_back(std::make_unique<TemporaryFolder>());
  return comm::broadcast_text(communicator,
                              communicator.rank() == 0 ? mine.back()->path().string() : "");
}

// All ranks on one node, and on two.
std::vector<std::unique_ptr<comm::Communicator>> placements() {
  std::vector<std::unique_ptr<comm::Communicator>> all;
  const int size = world().size();
  all.push_back(
      comm::make_communicator({30, size == 1 ? "" : test::node_list(size, [](int) { return 0; })}));
  if (size > 1)
    all.push_back(
        comm::make_communicator({30, test::node_list(size, [](int rank) { return rank % 2; })}));
  return all;
}

std::int64_t sum(comm::Communicator& communicator, std::int64_t mine) {
  const auto all = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  std::int64_t total = 0, one = 0;
  for (std::size_t at = 0; at < all.size(); at += sizeof one, total += one)
    std::memcpy(&one, all.data() + at, sizeof one);
  return total;
}

TEST(CacheRanks, fill_and_read_one_cache_at_once) {
  for (const auto& communicator : placements())
    for (const std::int64_t bytes : {0, 300000})
      for (const Cache kind : {Cache::kMemory, Cache::kNode}) {
        const fs::path folder = shared_folder(*communicator);
        const auto units = std::make_shared<const CountedUnits>(2003, 30, 301, bytes == 0);
        CachedField field(*communicator, {kind, folder.string(), bytes}, units);
        std::mt19937 random(static_cast<unsigned>(communicator->rank()));
        for (int i = 0; i < 400; ++i) {
          const std::int64_t first = random() % 2003;
          ASSERT_EQ(field.wrong(first, 1 + random() % std::min<std::int64_t>(90, 2003 - first)), 0);
        }
        ASSERT_EQ(field.wrong(), 0);
        EXPECT_EQ(field.cache->damaged(), 0);
        EXPECT_GT(field.cache->bytes_read(), 0);
        communicator->barrier();
        const std::int64_t before = units->reads + units->parts;
        ASSERT_EQ(field.wrong(), 0);
        const comm::Topology& topology = communicator->topology();
        if (bytes == 0) {
          EXPECT_EQ(units->reads + units->parts, before);  // one copy is everybody's
        } else {
          EXPECT_GT(units->reads + units->parts, before);
          const auto memory =
              static_cast<std::int64_t>(field.cache->memory(topology.local_ranks()));
          if (kind == Cache::kMemory) {
            EXPECT_LE(sum(*communicator, memory), bytes * topology.nodes());
          }
          for (const auto& entry : fs::directory_iterator(folder))
            EXPECT_LE(fs::file_size(entry.path()), static_cast<std::uintmax_t>(bytes));
        }
        communicator->barrier();
      }
}

TEST(CacheRanks, get_the_same_samples_with_and_without_a_cache) {
  const fs::path data = shared_folder(world());
  for (const int deflate : {0, 4}) {
    const Manifest manifest = numbered_rows(data, 1024, 7, deflate);
    for (const auto& communicator : placements())
      for (const std::int64_t bytes : {0, 20000})
        for (const Cache kind : {Cache::kMemory, Cache::kNode}) {
          const fs::path folder = shared_folder(*communicator);
          LoaderOptions options = options_for(8, 1, 4, 33);
          options.cache = {kind, folder.string(), bytes};
          const int position = communicator->topology().position;
          const comm::LaneRange mine =
              comm::cut_lanes(8, communicator->size())[static_cast<std::size_t>(position)];
          const auto loader = make_loader(*communicator, manifest, options);
          loader->start({&mine, 1}, {0, 5});
          std::int64_t from_file = 0;
          for (std::int64_t s = 0; s < 4 * 32; ++s) {
            const Position at = after({0, 5}, s, loader->steps_per_epoch());
            for (std::int64_t lane = mine.begin; lane < mine.end; ++lane)
              ASSERT_EQ(take(*loader, options, lane, at, 1),
                        expected(1024, 7, options, lane, at, 1));
            communicator->barrier();
            if (s == 64) from_file = loader->times().bytes_read;
          }
          const bool all_is_here =
              bytes == 0 && (kind == Cache::kNode || communicator->topology().nodes() == 1);
          if (all_is_here) {
            EXPECT_EQ(loader->times().bytes_read, from_file);
          }
          if (bytes > 0 && kind == Cache::kMemory) {
            EXPECT_GT(loader->times().bytes_read, from_file);
          }
          EXPECT_GT(sum(*communicator, loader->times().bytes_cached), 0);
          EXPECT_FALSE(loader->cache_text().empty());
          communicator->barrier();
        }
  }
}

TEST(CacheRanks, take_less_where_shared_memory_is_too_small) {
  if (world().size() == 1) return;  // one rank uses private memory
  for (const std::int64_t limit : {100000, 4000}) {
    comm::set_shared_memory_limit(limit);
    ::testing::internal::CaptureStderr();
    const auto units = std::make_shared<const CountedUnits>(2003, 30, 301);
    CachedField field(world(), {Cache::kMemory, "", 300000}, units);
    const std::string said = ::testing::internal::GetCapturedStderr();
    comm::set_shared_memory_limit(-1);
    const bool none = limit < 8192;
    if (world().rank() == 0) {
      EXPECT_TRUE(contains_all(said, {"warning", "/dev/shm", "the cache of the data",
                                      none ? "not cached" : "the cache has"}))
          << said;
    }
    EXPECT_EQ(field.wrong(), 0);
    EXPECT_EQ(field.wrong(), 0);
    EXPECT_EQ(field.cache->bytes_read() > 0, !none);
    world().barrier();
  }
}

TEST(CacheRanks, know_a_file_that_changed_and_data_that_nobody_can_know) {
  if (world().size() > 1) return;
  TemporaryFolder folder;
  const auto version = [&](const std::string& made) {
    const fs::path file = folder / "a.h5";
    const std::string python = "/usr/bin/python3 -c \"import h5py, numpy as np; f = h5py.File('" +
                               file.string() + "', 'w'); x = np.arange(60, dtype='f4'); " + made +
                               "\"";
    EXPECT_EQ(std::system(python.c_str()), 0);
    const Manifest manifest = read_manifest(world(), {.path = {file.string()}});
    const std::string named = version_of(manifest, manifest.splits.at(0));
    EXPECT_EQ(named, version_of(manifest, manifest.splits.at(0)));
    return named;
  };
  const std::string one = version("f['train/x'] = x.reshape(12, 5); f['train/y'] = x[:12]");
  const std::string two = version("f['train/x'] = x.reshape(12, 5) + 1; f['train/y'] = x[:12]");
  EXPECT_FALSE(one.empty());
  EXPECT_FALSE(two.empty());
  EXPECT_NE(one, two);
  const auto source = [&](const char* values) {
    return fmt::format("h5py.File('{}', 'w')['x'] = {}; ", (folder / "b.h5").string(), values);
  };
  const std::string linked = "f['train/x'] = h5py.ExternalLink('b.h5', 'x'); f['train/y'] = x; ";
  const std::string before = version(source("x") + linked);
  EXPECT_TRUE(contains_all(before, {"a.h5", "b.h5"}));
  EXPECT_NE(version(source("x + 1") + linked), before);
  EXPECT_EQ(version(source("x") + "v = h5py.VirtualLayout((60,), 'f4'); v[:] = h5py.VirtualSource("
                                  "'b.h5', 'x', (60,)); f.create_virtual_dataset('train/x', v); "
                                  "f['train/y'] = x"),
            "");
}

}  // namespace
}  // namespace lockstep::data
