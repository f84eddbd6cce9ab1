// A file that crashes or hangs HDF5 is refused in a sentence by the process that would have opened
// it. The program that walks is the real one, or a script in its place.
#include "lockstep/data/probe.h"

#include <gtest/gtest.h>

#include "files.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {
namespace {

using namespace testing;

class Probe : public ::testing::Test {
 protected:
  ~Probe() override { set_probe_program({}); }
  fs::path script(const std::string& body) {
    const fs::path path = folder_ / "walker";
    write_text(path, "#!/bin/bash\n" + body + "\n");
    fs::permissions(path, fs::perms::owner_all);
    return path;
  }
  std::vector<fs::path> files(int count) {
    std::vector<fs::path> all;
    for (int i = 0; i < count; ++i) {
      all.push_back(folder_ / ("f" + std::to_string(i) + ".h5"));
      fs::copy_file(h5py_files() / "chunk7.h5", all.back());
    }
    return all;
  }
  TemporaryFolder folder_;
};

TEST_F(Probe, lets_good_files_pass) {
  set_probe_program(LOCKSTEP_PROGRAM);
  EXPECT_EQ(refusal([&] { probe(files(3), Follow::kFolder, 20); }), "");
  Description description;
  description.path = {(h5py_files() / "gzip.h5").string()};
  EXPECT_EQ(read_manifest(description).splits.size(), 1u);
}

TEST_F(Probe, leaves_what_is_no_hdf5_to_the_reader) {
  set_probe_program(LOCKSTEP_PROGRAM);
  write_text(folder_ / "text.h5", "not HDF5 at all");
  Description description;
  description.path = {(folder_ / "text.h5").string()};
  EXPECT_TRUE(contains_all(refusal([&] { read_manifest(description); }),
                           {"DataError", "text.h5", "not a readable HDF5"}));
}

TEST_F(Probe, names_the_file_at_which_the_walk_crashed) {
  set_probe_program(
      script("n=0; while IFS= read -r -d '' name; do "
             "[ $n = 2 ] && kill -SEGV $$; echo \"$name\"; n=$((n+1)); done"));
  EXPECT_TRUE(contains_all(refusal([&] { probe(files(4), Follow::kFolder, 20); }),
                           {"DataError", "f2.h5", "crashed", "signal 11"}));
}

TEST_F(Probe, names_the_file_at_which_the_walk_hangs) {
  set_probe_program(script("IFS= read -r -d '' name; echo \"$name\"; sleep 60"));
  EXPECT_TRUE(contains_all(refusal([&] { probe(files(2), Follow::kFolder, 0.3); }),
                           {"DataError", "f1.h5", "did not end", "data.probe"}));
}

TEST_F(Probe, shares_many_files_out_and_names_the_one_that_fails) {
  set_probe_program(
      script("while IFS= read -r -d '' name; do case $name in */f900.h5) "
             "echo 'failed: out of memory';; *) echo \"$name\";; esac; done"));
  EXPECT_TRUE(contains_all(refusal([&] { probe(files(1000), Follow::kFolder, 20); }),
                           {"DataError", "f900.h5", "out of memory"}));
}

TEST_F(Probe, walks_a_file_again_only_when_it_has_changed) {
  set_probe_program(script("while IFS= read -r -d '' name; do echo \"$name\"; echo x >> " +
                           (folder_ / "walked").string() + "; done"));
  const auto all = files(1);
  const auto walked = [&] {
    probe(all, Follow::kFolder, 20);
    return file_bytes(folder_ / "walked").size() / 2;
  };
  EXPECT_EQ(walked(), 1u);
  EXPECT_EQ(walked(), 1u);
  flip_byte(all.front(), 100);
  EXPECT_EQ(walked(), 2u);
}

TEST_F(Probe, goes_on_where_no_process_can_be_started) {
  set_probe_program(folder_ / "nothing");
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(refusal([&] { probe(files(1), Follow::kFolder, 20); }), "");
  EXPECT_TRUE(contains_all(::testing::internal::GetCapturedStderr(), {"warning", "walk"}));
}

TEST_F(Probe, tells_no_launcher_of_the_process) {
  ::setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  set_probe_program(script("env > " + (folder_ / "env").string() +
                           "; while IFS= read -r -d '' name; do echo \"$name\"; done"));
  EXPECT_EQ(refusal([&] { probe(files(1), Follow::kFolder, 20); }), "");
  ::unsetenv("OMPI_COMM_WORLD_SIZE");
  const auto bytes = file_bytes(folder_ / "env");
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  EXPECT_EQ(text.find("OMPI_"), std::string::npos);
  EXPECT_NE(text.find("PATH="), std::string::npos);
}

}  // namespace
}  // namespace lockstep::data
