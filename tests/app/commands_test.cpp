// What the commands do when all is well.
#include <gtest/gtest.h>

#include "app/program.h"
#include "lockstep/config/reference.h"
#include "lockstep/config/run.h"

namespace lockstep::app_tests {
namespace {

TEST(Help, names_every_key_of_the_run_file) {
  for (const char* command : {"train", "config"}) {
    const Outcome o = lockstep(std::string(command) + " --help");
    EXPECT_EQ(o.code, 0);
    EXPECT_EQ(o.err, "");
    for (const auto& row : config::option_rows()) {
      EXPECT_EQ(count(o.out, "  " + row.section + "." + row.name + " = "), 1) << row.name;
    }
  }
}

TEST(Help, exists_for_every_command) {
  const Outcome all = lockstep("--help");
  EXPECT_EQ(all.code, 0);
  for (const char* command : {"train", "eval", "generate", "import", "inspect", "config", "verify", "trace", "plan", "doctor"}) {
    EXPECT_EQ(count(all.out, std::string("\n  ") + command + " "), 1) << command;
    const Outcome o = lockstep(std::string(command) + " --help");
    EXPECT_EQ(o.code, 0) << command;
    EXPECT_NE(o.out.find(std::string("lockstep ") + command), std::string::npos) << o.out;
    EXPECT_EQ(o.out.find("--man"), std::string::npos) << "hidden options stay hidden";
  }
}

TEST(Version, names_the_build_and_its_libraries) {
  const Outcome o = lockstep("--version");
  EXPECT_EQ(o.code, 0);
  for (const char* word : {"lockstep 0.", "commit ", "\ncompiler ", "\nMPI ", "\nHDF5 ",
                           "\noneDNN ", "\nCUDA      "}) {
    EXPECT_EQ(count(o.out, word), 1) << word << "\n" << o.out;
  }
}

TEST(Config, prints_the_run_that_reads_back_as_itself) {
  const Outcome first =
      lockstep("config " + run_file() + " --set optimizer.lr=0.3 --set run.threads=2");
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(count(first.out, "\nlr = 0.3\n"), 1);
  EXPECT_EQ(count(first.out, "\nthreads = 2\n"), 1);
  write("resolved.toml", first.out);
  EXPECT_EQ(lockstep("config resolved.toml").out, first.out);
}

TEST(Train, then_eval_inspect_and_verify_agree) {
  const std::string train = "-q train " + run_file() + " --set checkpoint.dir=";
  ASSERT_EQ(lockstep("train --check " + run_file() + " --set checkpoint.dir=one").code, 0);
  EXPECT_FALSE(std::filesystem::exists(folder() / "one")) << "--check writes nothing";
  Outcome o = lockstep(train + "one");
  ASSERT_EQ(o.code, 0) << o.err;
  o = lockstep(train + "two", 2);
  ASSERT_EQ(o.code, 0) << o.err;
  o = lockstep(train + "other --set train.seed=2");
  ASSERT_EQ(o.code, 0) << o.err;

  o = lockstep("verify one two");
  EXPECT_EQ(o.code, 0) << o.out;
  EXPECT_NE(o.out.find("equal"), std::string::npos) << o.out;
  o = lockstep("verify one other");
  EXPECT_EQ(o.code, 1) << o.out << o.err;
  EXPECT_EQ(lockstep("-q verify one other").code, 1);
  EXPECT_EQ(lockstep("-q verify one other", 2).code, 1);

  o = lockstep(train + "one");
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.err.find("--resume"), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("--overwrite"), std::string::npos) << o.err;
  EXPECT_EQ(lockstep(train + "one --resume").code, 0);
  EXPECT_EQ(lockstep(train + "one --overwrite").code, 0);

  const Outcome alone = lockstep("eval one");
  EXPECT_EQ(alone.code, 0) << alone.err;
  EXPECT_NE(alone.out.find("test"), std::string::npos) << alone.out;
  EXPECT_EQ(lockstep("eval one", 2).out, alone.out);
  EXPECT_EQ(lockstep("eval one --best --split val --data " + dataset()).code, 0);

  EXPECT_EQ(lockstep("eval one --split test").out, alone.out);
  EXPECT_EQ(lockstep("eval one --set run.isa=plain").code, 0);

  o = lockstep("inspect one --check");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("digest"), std::string::npos) << o.out;
  o = lockstep("inspect --check " + dataset());
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("train"), std::string::npos) << o.out;
}

TEST(Quiet, says_nothing_when_all_is_well) {
  const Outcome o = lockstep("train -q " + run_file());
  EXPECT_EQ(o.code, 0);
  EXPECT_EQ(o.out, "");
  EXPECT_EQ(o.err, "");
}

}  // namespace
}  // namespace lockstep::app_tests
