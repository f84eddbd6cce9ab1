// Chunks with every filter, in every grid and byte order, give the bits that h5py reads, by the way
// that is expected; damaged ones are named.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <thread>

#include "data/chunk_tree.h"
#include "data/dataset_rows.h"
#include "files.h"

namespace lockstep::data {
namespace {

using namespace testing;

constexpr std::int64_t kRows = 103;

const fs::path& chunk_files() {
  static const TemporaryFolder folder;
  static const int code = std::system(
      ("/usr/bin/python3 '" LOCKSTEP_MAKE_CHUNK_FILES "' '" + folder.path().string() + "'")
          .c_str());
  LOCKSTEP_CHECK(code == 0, "make_chunk_files.py failed; see scripts/debian-packages-tests.txt");
  return folder.path();
}

struct Case {
  std::string file, dataset, way;
  DType dtype;
};
std::vector<Case> listed() {
  std::ifstream in(chunk_files() / "chunks.txt");
  std::vector<Case> cases;
  Case one;
  std::string type;
  while (in >> one.file >> one.dataset >> type >> one.way) {
    one.dtype = dtype_from(type);
    std::replace(one.way.begin(), one.way.end(), '~', ' ');
    cases.push_back(one);
  }
  return cases;
}

std::shared_ptr<const InputFile> open(const fs::path& path) {
  return std::make_shared<const InputFile>(path);
}

std::vector<std::byte> read(const DatasetRows& rows, std::int64_t at_once) {
  std::vector<std::byte> all(static_cast<std::size_t>(rows.rows()) * rows.row_bytes());
  const UnitRows any(std::shared_ptr<const UnitSource>(&rows, [](const UnitSource*) {}));
  KeptUnit kept;
  for (std::int64_t first = 0; first < rows.rows(); first += at_once)
    any.read(first, std::min(at_once, rows.rows() - first),
             all.data() + static_cast<std::size_t>(first) * rows.row_bytes(), kept);
  return all;
}

std::vector<std::byte> part_of(const std::vector<std::byte>& bytes, std::size_t first,
                               std::size_t count) {
  const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(first);
  return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

TEST(Chunks, equal_h5py_for_every_filter_and_grid) {
  const auto cases = listed();
  ASSERT_GT(cases.size(), 180U);
  for (const Case& c : cases) {
    const auto file = open(chunk_files() / (c.file + ".h5"));
    const DatasetRows rows(file, {0, "/" + c.dataset, 0, kRows}, {c.dtype, {3, 5}});
    EXPECT_NE(rows.way().find(c.way), std::string::npos) << c.dataset << ": " << rows.way();
    const auto expected = file_bytes(chunk_files() / (c.file + "." + c.dataset + ".bin"));
    for (const std::int64_t at_once : {1, 7, 10, 64, 103})
      EXPECT_EQ(read(rows, at_once), expected) << c.file << " " << c.dataset << " " << at_once;
  }
}

TEST(Chunks, of_a_part_of_a_dataset_keep_to_its_chunks) {
  for (const char* dataset : {"rows_gzip_li2", "rows_none_li2", "cut_all_bf4"}) {
    const auto file = open(chunk_files() / "own.h5");
    const DType dtype = dataset[0] == 'c' ? DType::kF32 : DType::kI16;
    const DatasetRows rows(file, {0, std::string("/") + dataset, 17, 60}, {dtype, {3, 5}});
    const auto all = file_bytes(chunk_files() / (std::string("own.") + dataset + ".bin"));
    for (const std::int64_t at_once : {1, 11, 60})
      EXPECT_EQ(read(rows, at_once), part_of(all, 17 * rows.row_bytes(), 60 * rows.row_bytes()));
    std::int64_t next = 0;
    for (std::int64_t u = 0; u < rows.units(); ++u) {
      const auto unit = rows.unit(u);
      EXPECT_EQ(unit.first, next);
      EXPECT_EQ(rows.unit_of(unit.first + unit.rows - 1), u);
      EXPECT_TRUE(u == 0 || (17 + unit.first) % (dataset[0] == 'c' ? 10 : 7) == 0);
      next += unit.rows;
    }
    EXPECT_EQ(next, 60);
  }
}

TEST(Chunks, give_samples_and_blocks_of_volumes) {
  const auto file = open(chunk_files() / "volumes.h5");
  for (const char* dataset : {"contiguous", "plain", "thin", "gzip", "odd"}) {
    const std::string path = std::string("/") + dataset;
    const DatasetRows sample(file, {0, path, 0, 1},
                             {DType::kI16, {8, 12, 10, 2}, Layout::kSample, {}});
    EXPECT_EQ(read(sample, 1), file_bytes(chunk_files() / "volumes.sample.bin")) << dataset;
    const DatasetRows blocks(file, {0, path, 0, 12},
                             {DType::kI16, {4, 4, 5, 2}, Layout::kBlocks, {4, 4, 5}});
    EXPECT_EQ(blocks.units(), 12);
    for (const std::int64_t at_once : {1, 5, 12})
      EXPECT_EQ(read(blocks, at_once), file_bytes(chunk_files() / "volumes.blocks.bin")) << dataset;
  }
}

TEST(Chunks, are_read_without_hdf5_when_another_rank_told_where_they_lie) {
  StorageTable told;
  const auto cases = listed();
  for (const Case& c : cases)
    if (c.file == "own")
      told.add(0, "/" + c.dataset, ask_hdf5(*open(chunk_files() / "own.h5"), "/" + c.dataset));
  const std::string bytes = told.to_bytes();
  const auto table = StorageTable::from_bytes(bytes);
  EXPECT_FALSE(table->find(0, "/other"));
  EXPECT_FALSE(table->find(1, "/" + cases.front().dataset));
  // HDF5's lock is held: whoever calls HDF5 would wait for ever.
  const Hdf5Lock lock;
  for (const Case& c : cases) {
    if (c.file != "own") continue;
    std::vector<std::byte> all;
    std::thread reader([&] {
      const auto file =
          std::make_shared<const InputFile>(chunk_files() / "own.h5", InputFile::Hdf5::kWhenNeeded);
      const DatasetRows rows(file, {0, "/" + c.dataset, 0, kRows}, {c.dtype, {3, 5}},
                             table->find(0, "/" + c.dataset));
      all = read(rows, 10);
    });
    reader.join();
    EXPECT_EQ(all, file_bytes(chunk_files() / ("own." + c.dataset + ".bin"))) << c.dataset;
  }
}

TEST(Chunks, that_are_many_and_in_no_order_are_found) {
  const auto file = open(chunk_files() / "many.h5");
  const DatasetRows rows(file, {0, "/x", 0, 20011}, {DType::kU8, {2}});
  EXPECT_NE(rows.way().find("its B-tree"), std::string::npos) << rows.way();
  EXPECT_EQ(read(rows, 1000), file_bytes(chunk_files() / "many.x.bin"));
}

TEST(Chunks, with_a_filter_that_nobody_has_are_refused_with_the_remedy) {
  const auto file = open(chunk_files() / "unknown.h5");
  EXPECT_TRUE(contains_all(
      refusal([&] {
        DatasetRows(file, {0, "/x", 0, kRows}, {DType::kF32, {3, 5}});
      }),
      {"DataError", "unknown.h5", "/x", "32099", "plugin", plugin_folder(), "h5repack"}));
}

TEST(Chunks, that_are_damaged_are_named) {
  std::ifstream places(chunk_files() / "broken.txt");
  const TemporaryFolder folder;
  std::string dataset;
  std::uint64_t row, at, size;
  int damaged = 0;
  while (places >> dataset >> row >> at >> size) {
    for (const std::uint64_t byte : {std::uint64_t{0}, size / 2, size - 1}) {
      fs::copy_file(chunk_files() / "broken.h5", folder / "broken.h5",
                    fs::copy_options::overwrite_existing);
      flip_byte(folder / "broken.h5", at + byte);
      const DType type = dataset == "lz4" || dataset == "zstd" ? DType::kI32 : DType::kI16;
      const std::string sentence = refusal([&] {
        const DatasetRows rows(open(folder / "broken.h5"), {0, "/" + dataset, 0, kRows},
                               {type, {3, 5}});
        read(rows, 10);
      });
      EXPECT_TRUE(contains_all(
          sentence,
          {"DataError", "broken.h5", "/" + dataset, fmt::format("rows {} to ", row),
           fmt::format("chunk at [{}, 0, 0]", row), fmt::format("{} bytes at byte {}", size, at)}));
      ++damaged;
    }
  }
  EXPECT_EQ(damaged, 30);
}

// A damaged index leads to an error or to HDF5's own reading, never to a crash or a loop.
TEST(Chunks, whose_index_is_damaged_never_crash_the_walk) {
  const std::vector<std::byte> whole = file_bytes(chunk_files() / "many.h5");
  const TemporaryFolder folder;
  std::uint64_t header = 0;
  {
    const auto file = open(chunk_files() / "many.h5");
    const Hdf5Lock lock;
    const Handle dataset(H5Dopen2(file->id(), "/x", H5P_DEFAULT), H5Dclose);
    ObjectInfo about;
    ASSERT_GE(H5Oget_info2(dataset.get(), &about, H5O_INFO_BASIC), 0);
    header = about.addr;
  }
  // The header, and the nodes of the tree.
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < 300; ++i) places.push_back(header + i);
  for (std::size_t i = 0; i + 4 < whole.size(); ++i)
    if (std::memcmp(whole.data() + i, "TREE", 4) == 0)
      for (const std::size_t next : {4, 5, 6, 7, 24, 28, 32, 40, 48, 56, 57, 60, 63})
        places.push_back(i + next);
  const fs::path path = folder / "many.h5";
  write_bytes(path, whole.data(), whole.size());
  const ChunkGrid grid{{20011, 2}, {1, 2}};
  const auto walk = [&](std::uint64_t from, std::vector<StoredChunk>& chunks) {
    const auto file = open(path);
    return walk_chunk_tree({file->descriptor(), 0, whole.size(), from}, grid, chunks);
  };
  std::vector<StoredChunk> chunks;
  ASSERT_EQ(walk(header, chunks), "");
  ASSERT_EQ(chunks.size(), 20011U);
  std::uint64_t random = 12345;
  int refused = 0;
  for (int round = 0; round < 600; ++round) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    const std::size_t at = places[(random >> 33) % places.size()];
    flip_byte(path, at);
    refused += walk(header, chunks).empty() ? 0 : 1;
    flip_byte(path, at);
  }
  EXPECT_GT(refused, 100);
  // A branch that is hung up twice, as its own parent's next one.
  for (std::size_t i = 0; i + 104 < whole.size(); ++i) {
    if (std::memcmp(whole.data() + i, "TREE", 4) != 0 || whole[i + 5] == std::byte{0}) continue;
    std::vector<std::byte> twice = whole;
    std::copy_n(whole.begin() + static_cast<std::ptrdiff_t>(i + 56), 8,
                twice.begin() + static_cast<std::ptrdiff_t>(i + 96));
    write_bytes(path, twice.data(), twice.size());
    EXPECT_NE(walk(header, chunks), "") << i;
    break;
  }
  write_bytes(path, whole.data(), whole.size());
  for (const std::uint64_t from : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{~0ULL},
                                   std::uint64_t{whole.size() - 1}, header + 8})
    EXPECT_NE(walk(from, chunks), "") << from;
}

TEST(ChunkIndex, keeps_chunks_of_every_kind) {
  using Chunks = std::vector<StoredChunk>;
  constexpr auto kAbsent = StoredChunk::kAbsent;
  for (const Chunks& chunks :
       {Chunks{{100, 10, 0}}, Chunks{{100, 10, 0}, {110, 10, 0}, {120, 10, 0}},
        Chunks{{100, 10, 0}, {120, 10, 0}, {110, 10, 0}}, Chunks{{100, 10, 0}, {110, 11, 0}},
        Chunks{{kAbsent, 0, 0}, {7, 3, 0}}, Chunks{{7, 3, 0}, {kAbsent, 0, 0}, {13, 3, 0}},
        Chunks{{7, 3, 1}, {10, 3, 0}}, Chunks{{kAbsent, 0, 0}, {kAbsent, 0, 0}}}) {
    std::string bytes;
    ChunkIndex(chunks).append_to(bytes);
    std::string_view left = bytes;
    const ChunkIndex index = ChunkIndex::take_from(left);
    EXPECT_TRUE(left.empty());
    ASSERT_EQ(index.size(), static_cast<std::int64_t>(chunks.size()));
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const StoredChunk chunk = index.at(static_cast<std::int64_t>(i));
      EXPECT_EQ(chunk.address, chunks[i].address);
      EXPECT_TRUE(chunk.address == kAbsent || chunk.bytes == chunks[i].bytes);
      EXPECT_EQ(chunk.skipped, chunks[i].skipped);
    }
  }
}

}  // namespace
}  // namespace lockstep::data
