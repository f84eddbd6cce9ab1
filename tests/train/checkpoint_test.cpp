#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "lockstep/core/files.h"
#include "train/scratch_folder.h"
#include "train/train_state.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::unique_ptr<comm::Communicator> alone() { return comm::make_communicator({}); }

fs::path save(comm::Communicator& c, const fs::path& dir, const TestState& s, int keep = 3,
              bool best = false) {
  return write_checkpoint(c, dir, s.state, TestState::text(), keep, best);
}

TEST(Checkpoint, gives_back_the_bits_that_were_saved) {
  const auto self = alone();
  const ScratchFolder folder;
  TestState saved(50), read(51);
  saved.data[0][0] = -0.0f;
  saved.data[1][saved.table[1].offset + 6] = 1e-42f;  // a denormal
  Hash128 given;
  const fs::path file = write_checkpoint(*self, folder.path() / "a b", saved.state,
                                         TestState::text(), 3, false, &given);
  EXPECT_EQ(file.filename(), "step-0000000050.h5");
  for (auto& values : read.data) std::fill(values.begin(), values.end(), NAN);  // padding too

  read_checkpoint(*self, file, read.state);

  for (std::size_t t = 0; t < saved.data.size(); ++t) {
    EXPECT_EQ(std::memcmp(saved.data[t].data(), read.data[t].data(), 4 * saved.data[t].size()), 0);
  }
  EXPECT_EQ(read.state.progress.integers, saved.state.progress.integers);
  EXPECT_EQ(read.state.progress.reals, saved.state.progress.reals);
  EXPECT_TRUE(std::signbit(read.state.progress.reals["minus_zero"]));
  EXPECT_EQ(digest(*self, read.state), given);
  const CheckpointText text = read_checkpoint_text(file);
  EXPECT_EQ(text.resolved_run, TestState::text().resolved_run);
  EXPECT_EQ(text.environment, TestState::text().environment);
  EXPECT_EQ(text.description, TestState::text().description);
}

TEST(Checkpoint, is_the_same_file_when_saved_twice) {
  const auto self = alone();
  const ScratchFolder folder;
  const TestState s;
  EXPECT_EQ(read_file(save(*self, folder.path() / "a", s)),
            read_file(save(*self, folder.path() / "b", s)));
}

TEST(Checkpoint, keeps_empty_texts_empty) {
  const auto self = alone();
  const ScratchFolder folder;
  const TestState s;
  const CheckpointText text =
      read_checkpoint_text(write_checkpoint(*self, folder.path(), s.state, {}, 1, false));
  EXPECT_TRUE(text.resolved_run.empty() && text.environment.empty() && text.description.empty());
}

TEST(Checkpoint, can_be_read_by_h5py) {
  const auto self = alone();
  const ScratchFolder folder;
  const TestState s;
  const fs::path file = save(*self, folder.path(), s);
  write_file_atomically(folder.path() / "read.py", R"(
import h5py, sys
f = h5py.File(sys.argv[1], "r")
w = f["parameters/conv.weight"][()]
m = f["optimizer/m/p10007"][()]
print(w.dtype, w.shape, float(w[2, 4, 1, 6]).hex(), float(m[-1]).hex(), f["parameters/scalar"].shape,
      f["progress/integers"].attrs["step"], f["progress/reals"].attrs["best"],
      f["environment"][()].decode(), f.attrs["digest"].decode())
)");
  const std::string command = "/usr/bin/python3 '" + (folder.path() / "read.py").string() + "' '" +
                              file.string() + "' > '" + (folder.path() / "out").string() + "' 2>&1";

  const int status = std::system(command.c_str());

  const std::string out = read_file(folder.path() / "out");
  ASSERT_EQ(status, 0) << out;
  const auto at = [&](int tensor, const char* name, std::int64_t i) {
    char text[64];
    std::snprintf(text, sizeof(text), "%a", s.data[tensor][s.table[s.table.find(name)].offset + i]);
    return std::strtod(text, nullptr);
  };
  std::istringstream words(out);
  std::string dtype, a, b, c, d, w, m;
  words >> dtype >> a >> b >> c >> d >> w >> m;
  EXPECT_EQ(dtype + a + b + c + d, "float32(3,5,2,7)");
  EXPECT_EQ(std::strtod(w.c_str(), nullptr), at(0, "conv.weight", 209));
  EXPECT_EQ(std::strtod(m.c_str(), nullptr), at(1, "p10007", 10006));
  EXPECT_THAT(out, HasSubstr("() 50 inf " + TestState::text().environment + " " +
                             digest(*self, s.state).text()));
}

std::string layout_by_h5py(const fs::path& folder, const fs::path& file) {
  write_file_atomically(folder / "layout.py", R"(
import h5py, json, sys
layout = json.loads(h5py.File(sys.argv[1], "r")["layout"][()])
print(json.dumps([layout[key] for key in ("tensors", "mesh", "cut")], sort_keys=True), end="")
)");
  const std::string out = (folder / "layout.out").string();
  const std::string command = "/usr/bin/python3 '" + (folder / "layout.py").string() + "' '" +
                              file.string() + "' > '" + out + "' 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0);
  return read_file(out);
}

TEST(Checkpoint, says_that_nothing_was_cut_where_every_rank_held_all) {
  const auto self = alone();
  const ScratchFolder folder;
  const fs::path file = save(*self, folder.path(), TestState());
  EXPECT_EQ(layout_by_h5py(folder.path(), file),
            R"([["parameters", "optimizer/m", "optimizer/v"], [], {}])");
  EXPECT_THAT(checkpoint_inspect_text(file), HasSubstr("\ncut        nothing: every rank"));
}

TEST(Checkpoint, refuses_to_save_a_value_that_is_not_finite) {
  const auto self = alone();
  const ScratchFolder folder;
  TestState s;
  const fs::path before = save(*self, folder.path(), s);
  s.state.progress.integers["step"] = 51;
  const Parameter& p = s.table[s.table.find("conv.weight")];
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    s.data[2][p.offset + 209] = bad;
    EXPECT_THAT(sentence_of(ExitCode::kData, [&] { save(*self, folder.path(), s); }),
                HasSubstr("optimizer/v/conv.weight [2, 4, 1, 6] is "));
  }
  s.data[2][p.offset + 209] = 0;
  s.state.progress.reals["window/loss"] = NAN;
  EXPECT_THAT(sentence_of(ExitCode::kData, [&] { save(*self, folder.path(), s); }),
              HasSubstr("'window/loss' is NaN"));
  EXPECT_EQ(newest_checkpoint(folder.path()), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
}

TEST(Checkpoint, of_another_model_names_the_first_parameter_that_differs) {
  const auto self = alone();
  const ScratchFolder folder;
  const fs::path file = save(*self, folder.path(), TestState());
  TestState wider(50, 2), fewer;
  EXPECT_THAT(
      sentence_of(ExitCode::kUser, [&] { read_checkpoint(*self, file, wider.state); }),
      testing::AllOf(HasSubstr(file.string()), HasSubstr("parameter 1 is p1 1 there and p1 2")));
  fewer.table.add("more", {2}, ParameterKind::kWeight, Init::kZeros);
  EXPECT_THAT(sentence_of(ExitCode::kUser, [&] { read_checkpoint(*self, file, fewer.state); }),
              HasSubstr("parameter 14 is absent there and more 2 in this run"));
}

TEST(Checkpoint, of_another_optimizer_is_refused_unless_only_some_tensors_are_wanted) {
  const auto self = alone();
  const ScratchFolder folder;
  const TestState saved;
  const fs::path file = save(*self, folder.path(), saved);
  TestState sgd(51, 1, {"parameters", "optimizer/momentum"}), parameters(51, 1, {"parameters"});
  EXPECT_THAT(sentence_of(ExitCode::kUser, [&] { read_checkpoint(*self, file, sgd.state); }),
              HasSubstr("has no optimizer/momentum"));
  EXPECT_THAT(sentence_of(ExitCode::kUser, [&] { read_checkpoint(*self, file, parameters.state); }),
              HasSubstr("holds optimizer/m, which this run has no use for"));
  read_checkpoint(*self, file, parameters.state, ReadScope::kListed);
  EXPECT_EQ(parameters.data[0], saved.data[0]);
}

TEST(Checkpoint, without_a_file_or_of_another_kind_is_refused) {
  const auto self = alone();
  const ScratchFolder folder;
  TestState s;
  const auto read = [&](const fs::path& file) { read_checkpoint(*self, file, s.state); };
  EXPECT_THAT(sentence_of(ExitCode::kUser, [&] { read(folder.path() / "none.h5"); }),
              HasSubstr("there is no checkpoint"));
  write_file_atomically(folder.path() / "text.h5", "hello");
  EXPECT_THAT(sentence_of(ExitCode::kData, [&] { read(folder.path() / "text.h5"); }),
              HasSubstr("text.h5 is not a whole checkpoint"));
  EXPECT_FALSE(is_checkpoint(folder.path() / "text.h5"));
  const std::string foreign = "/usr/bin/python3 -c 'import h5py; h5py.File(\"" +
                              (folder.path() / "foreign.h5").string() +
                              "\", \"w\")[\"x\"] = [1, 2]'";
  ASSERT_EQ(std::system(foreign.c_str()), 0);
  EXPECT_THAT(sentence_of(ExitCode::kData, [&] { read(folder.path() / "foreign.h5"); }),
              HasSubstr("foreign.h5 is not a whole checkpoint"));
  EXPECT_FALSE(is_checkpoint(folder.path() / "foreign.h5"));
  EXPECT_TRUE(is_checkpoint(save(*self, folder.path(), s)));
}

TEST(Checkpoint, that_is_truncated_anywhere_is_refused) {
  const auto self = alone();
  const ScratchFolder folder;
  TestState s;
  const fs::path file = save(*self, folder.path(), s);
  const std::string whole = read_file(file);
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{100}, whole.size() / 3,
                           whole.size() / 2, whole.size() - 1}) {
    std::ofstream(file, std::ios::binary).write(whole.data(), static_cast<std::streamsize>(size));
    EXPECT_THAT(sentence_of(ExitCode::kData, [&] { read_checkpoint(*self, file, s.state); }),
                HasSubstr(file.string()))
        << size;
  }
}

TEST(Checkpoint, with_one_flipped_byte_anywhere_is_refused) {
  const auto self = alone();
  const ScratchFolder folder;
  TestState s;
  const fs::path file = save(*self, folder.path(), s);
  const std::string whole = read_file(file);
  std::fstream bytes(file, std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](std::size_t at, int mask) {
    bytes.seekp(static_cast<std::streamoff>(at));
    bytes.put(static_cast<char>(whole[at] ^ mask)).flush();
  };
  for (std::size_t at = 0; at < whole.size(); at += at < 8192 ? 5 : 509) {
    put(at, 0x10);
    EXPECT_THAT(sentence_of(ExitCode::kData, [&] { read_checkpoint(*self, file, s.state); }),
                HasSubstr(file.string()))
        << "byte " << at;
    put(at, 0);
  }
  read_checkpoint(*self, file, s.state);
}

TEST(Checkpoint, names_the_tensor_and_block_of_a_flipped_byte) {
  const auto self = alone();
  const ScratchFolder folder;
  TestState s;
  const fs::path file = save(*self, folder.path(), s);
  const std::string whole = read_file(file);
  const Parameter& p = s.table[s.table.find("p10007")];
  for (int tensor : {0, 1, 2}) {
    for (std::int64_t element : {0, 4095, 4096, 8191, 8192, 10006}) {
      const float* value = &s.data[tensor][p.offset];
      const std::size_t at =
          whole.find(std::string(reinterpret_cast<const char*>(value), 4 * p.elements));
      ASSERT_NE(at, std::string::npos);
      std::string broken = whole;
      broken[at + 4 * element + 3] = static_cast<char>(broken[at + 4 * element + 3] ^ 1);
      std::ofstream(file, std::ios::binary)
          .write(broken.data(), static_cast<std::streamsize>(broken.size()));
      TestState read;
      const std::string expected =
          fmt::format("{}: {}/p10007, block {} (", file.string(), s.names[tensor], element / 4096);
      EXPECT_THAT(sentence_of(ExitCode::kData, [&] { read_checkpoint(*self, file, read.state); }),
                  HasSubstr(expected));
      EXPECT_THAT(sentence_of(ExitCode::kData, [&] { check_checkpoint(file); }),
                  HasSubstr(expected));
    }
  }
}

TEST(Checkpoint, inspect_shows_digest_progress_and_shapes) {
  const auto self = alone();
  const ScratchFolder folder;
  const TestState s;
  const std::string text = checkpoint_inspect_text(save(*self, folder.path(), s));
  EXPECT_THAT(text, HasSubstr(digest(*self, s.state).text()));
  EXPECT_THAT(text, HasSubstr("parameters optimizer/m optimizer/v "));
  EXPECT_THAT(text, testing::ContainsRegex("step +50\n"));
  EXPECT_THAT(text, testing::ContainsRegex("conv.weight +3x5x2x7 +210\n"));
}

}  // namespace
}  // namespace lockstep::train
