// Sequences that are cut from a stream of tokens: the rows that h5py wrote, whatever the layout,
// the order, the lanes.
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "data/elements.h"
#include "data/manifest_text.h"
#include "data/row_source.h"
#include "loading.h"

namespace lockstep::data {
namespace {

using namespace testing;
using comm::LaneRange;

constexpr const char* kStreams[] = {"stream_contiguous", "stream_u1", "stream_chunk", "stream_gzip",
                                    "stream_big",        "stream_i8", "stream_grown"};
constexpr std::int64_t kTokens = 5003;

fs::path path_of(const char* name) { return h5py_files() / (std::string(name) + ".h5"); }

// What h5py wrote.
std::vector<std::int32_t> tokens_of(const char* name, DType dtype) {
  const auto bytes = file_bytes(h5py_files() / (std::string(name) + ".tokens.bin"));
  std::vector<std::int32_t> tokens(bytes.size() / size_of(dtype));
  to_labels(dtype, bytes.data(), static_cast<std::int64_t>(tokens.size()), tokens.data());
  return tokens;
}

LoaderOptions token_options(const Manifest& manifest, std::int64_t lanes, std::int64_t accumulate,
                            std::int64_t microbatch, std::int64_t window) {
  LoaderOptions options = options_for(lanes, accumulate, microbatch, window);
  options.normalise = Normalise::kStandard;  // not for tokens
  options.input_is_tokens = true;
  options.vocabulary = options.classes = manifest.find("train")->find("tokens")->classes;
  return options;
}

TEST(Sequences, are_fields_of_a_cut_manifest) {
  Manifest manifest = read_manifest(path_of("stream_chunk"));
  EXPECT_EQ(manifest.find("train")->fields.at(0).role, "tokens");
  EXPECT_EQ(manifest.find("train")->fields.at(0).classes, 300);
  cut_sequences(manifest, 32);
  EXPECT_EQ(manifest.find("train")->samples, 156);  // floor(5002 / 32)
  EXPECT_EQ(manifest.find("val")->samples, 3);
  manifest = manifest_from_text(to_text(manifest));
  for (const char* role : {"input", "target"}) {
    const Field& field = resolve_field(manifest, "train", "", role);
    EXPECT_EQ(field.sample, Shape{32});
    EXPECT_EQ(field.count, 156);
    EXPECT_EQ(field.chunk, 3);
    EXPECT_EQ(field.classes, 300);
    EXPECT_EQ(field.shift, *role == 'i' ? 0 : 1);
    EXPECT_EQ(field.name, *role == 'i' ? "tokens" : "next_tokens");
  }
  cut_sequences(manifest, 7);  // is cut already
  EXPECT_EQ(manifest.find("train")->samples, 156);
  Manifest images = read_manifest(h5py_files() / "labels.h5");
  const std::string before = to_text(images);
  cut_sequences(images, 4);
  EXPECT_EQ(to_text(images), before);
}

TEST(Sequences, use_all_tokens_that_have_a_next_one) {
  for (const std::int64_t sequence : {1, 2, 99, 100}) {
    Manifest manifest = read_manifest(path_of("stream_gzip"));
    cut_sequences(manifest, sequence);
    EXPECT_EQ(manifest.find("val")->samples, 100 / sequence);
  }
  Manifest manifest = read_manifest(path_of("stream_gzip"));
  EXPECT_TRUE(contains_all(refusal([&] { cut_sequences(manifest, 101); }),
                           {"UserError", "stream_gzip.h5", "\"val\"", "101 tokens", "most 100"}));
  EXPECT_TRUE(
      contains_all(refusal([&] { cut_sequences(manifest, 0); }), {"UserError", "data.sequence"}));
}

TEST(Sequences, hold_the_rows_of_the_stream_in_every_layout) {
  for (const char* name : kStreams)
    for (const std::int64_t sequence : {1, 7, 31, 32, 33, 100, 1000, 5002}) {
      Manifest manifest = read_manifest(path_of(name));
      manifest.splits.resize(1);
      const DType dtype = manifest.splits[0].fields[0].dtype;
      const auto tokens = tokens_of(name, dtype);
      ASSERT_EQ(tokens.size(), static_cast<std::size_t>(kTokens));
      cut_sequences(manifest, sequence);
      for (const Field& field : manifest.splits[0].fields) {
        const auto reader = open_rows(manifest, manifest.splits[0], field);
        KeptUnit kept;
        for (const std::int64_t at_once : {std::int64_t{1}, std::int64_t{3}, field.count})
          for (std::int64_t first = 0; first < field.count; first += at_once) {
            const std::int64_t count = std::min(at_once, field.count - first);
            std::vector<std::byte> rows(static_cast<std::size_t>(count) * field.sample_bytes());
            reader->read(first, count, rows.data(), kept);
            std::vector<std::int32_t> got(static_cast<std::size_t>(count * sequence));
            to_labels(dtype, rows.data(), count * sequence, got.data());
            const auto* from = tokens.data() + first * sequence + field.shift;
            ASSERT_EQ(std::memcmp(got.data(), from, got.size() * sizeof(got[0])), 0)
                << name << " " << sequence << " " << field.name << " " << first;
          }
      }
    }
}

TEST(Sequences, are_handed_out_in_the_order_with_the_next_tokens_as_labels) {
  constexpr std::int64_t kSequence = 33;
  for (const char* name : kStreams)
    for (const std::int64_t window : {0, 1, 5, 1000}) {
      Manifest manifest = read_manifest(path_of(name));
      const auto tokens = tokens_of(name, manifest.splits[0].fields[0].dtype);
      cut_sequences(manifest, kSequence);
      LoaderOptions options = token_options(manifest, 4, 2, 3, window);
      const auto loader = make_loader(world(), manifest, options);
      options.window = loader->window();
      const LaneRange lanes[] = {{0, 4}};
      loader->start(lanes, {});
      const Split& train = *manifest.find("train");
      const std::int64_t chunk = order_chunk(train.fields[0], train.fields[1]);
      std::vector<std::int32_t> input(3 * kSequence), labels(3 * kSequence);
      std::set<std::int64_t> seen;
      for (std::int64_t step = 0; step < loader->steps_per_epoch(); ++step)
        for (std::int64_t lane = 0; lane < 4; ++lane) {
          const auto rows = expected(train.samples, chunk, options, lane, {0, step}, 1);
          for (std::int64_t micro = 0; micro < 2; ++micro) {
            loader->fill(lane, {0, step}, micro, input.data(), labels.data(), nullptr);
            for (std::int64_t i = 0; i < 3; ++i) {
              const std::int64_t row = rows[static_cast<std::size_t>(micro * 3 + i)];
              EXPECT_TRUE(seen.insert(row).second);
              const auto* from = tokens.data() + row * kSequence;
              ASSERT_TRUE(std::equal(from, from + kSequence, input.data() + i * kSequence)) << name;
              ASSERT_TRUE(std::equal(from + 1, from + 1 + kSequence, labels.data() + i * kSequence))
                  << name;
            }
          }
        }
      // Each sequence once, apart from the tail: 151 sequences, 6 batches of 24.
      EXPECT_EQ(seen.size(), 144U);
    }
}

TEST(Sequences, are_read_in_file_order_for_evaluation) {
  Manifest manifest = read_manifest(path_of("stream_big"));
  const auto tokens = tokens_of("stream_big", DType::kI32);
  cut_sequences(manifest, 31);
  const auto reader = make_row_reader(manifest, token_options(manifest, 1, 1, 1, 0));
  EXPECT_EQ(reader->samples(), 161);
  std::vector<std::int32_t> input(161 * 31), labels(161 * 31);
  reader->read(0, 161, input.data(), labels.data(), nullptr);
  EXPECT_TRUE(std::equal(input.begin(), input.end(), tokens.begin()));
  EXPECT_TRUE(std::equal(labels.begin(), labels.end(), tokens.begin() + 1));
  reader->read(160, 1, input.data(), labels.data(), nullptr);
  EXPECT_TRUE(std::equal(input.begin(), input.begin() + 31, tokens.begin() + 160 * 31));
}

TEST(Sequences, have_windows_and_chunks_of_whole_sequences) {
  Manifest manifest = read_manifest(path_of("stream_contiguous"));
  manifest.splits.resize(1);
  cut_sequences(manifest, 1000);
  const auto& fields = manifest.find("train")->fields;
  EXPECT_EQ(order_chunk(fields[0], fields[1]), (256 << 10) / 2000);
  EXPECT_EQ(default_window(fields[0], fields[1], 1), (16 << 20) / 4000);
  Manifest chunked = read_manifest(path_of("stream_big"));  // chunks of 33
  cut_sequences(chunked, 100);
  EXPECT_EQ(order_chunk(chunked.splits[0].fields[0], chunked.splits[0].fields[1]), 1);
}

TEST(Sequences, refuse_tokens_that_the_vocabulary_does_not_have) {
  Manifest manifest = read_manifest(path_of("stream_gzip"));  // row 4000 is 299, the largest
  const auto tokens = tokens_of("stream_gzip", DType::kU16);
  const auto first = std::find(tokens.begin(), tokens.end(), 299) - tokens.begin();
  manifest.splits.resize(1);
  cut_sequences(manifest, 5002);
  LoaderOptions options = token_options(manifest, 1, 1, 1, 0);
  options.vocabulary = 299;
  std::vector<std::int32_t> input(5002), labels(5002);
  const auto read = [&] {
    return refusal([&] {
      make_row_reader(manifest, options)->read(0, 1, input.data(), labels.data(), nullptr);
    });
  };
  const std::string row = fmt::format("row {} is 299", first);
  EXPECT_TRUE(contains_all(read(), {"DataError", "stream_gzip.h5", "/train/tokens", row,
                                    "no token number from 0 to 298"}));
  options.vocabulary = 300;
  options.classes = 299;
  EXPECT_TRUE(contains_all(read(), {"DataError", "/train/tokens", row, "from 0 to 298"}));
  options.classes = 300;
  EXPECT_EQ(read(), "");
  options.vocabulary = 0;
  EXPECT_TRUE(contains_all(read(), {"UserError", "/train/tokens", "no known vocabulary"}));
}

TEST(Sequences, refuse_class_targets_that_are_neither_one_a_sample_nor_one_a_token) {
  const Manifest manifest = read_manifest(h5py_files() / "chunk7.h5");
  LoaderOptions options = options_for(1, 1, 1, 0);
  options.target = "x";
  EXPECT_TRUE(contains_all(refusal([&] { make_row_reader(manifest, options); }),
                           {"UserError", "/train/x", "one integer a sample"}));
}

TEST(Sequences, refuse_a_stream_that_changed_after_it_was_opened) {
  const TemporaryFolder folder;
  fs::copy_file(path_of("stream_chunk"), folder / "a.h5");
  Manifest manifest = read_manifest(folder / "a.h5");
  cut_sequences(manifest, 100);
  const LoaderOptions options = token_options(manifest, 1, 1, 1, 0);
  ASSERT_EQ(std::system(("/usr/bin/python3 -c \"import h5py; f = h5py.File('" +
                         (folder / "a.h5").string() +
                         "', 'a'); t = f['train/tokens'][:4000]; del f['train/tokens']; "
                         "f['train/tokens'] = t\"")
                            .c_str()),
            0);
  EXPECT_TRUE(contains_all(refusal([&] { make_row_reader(manifest, options); }),
                           {"DataError", "a.h5", "/train/tokens", "changed"}));
}

}  // namespace
}  // namespace lockstep::data
