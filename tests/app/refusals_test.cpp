// Wrong commands, files and options: exit code and sentence, said once.
#include <gtest/gtest.h>

#include "app/program.h"

namespace lockstep::app_tests {
namespace {

TEST(Refusal, has_the_documented_exit_code_and_one_sentence) {
  write("bad.toml", "[train]\nbacth = 3\n");
  write("empty.toml", "");
  write("nomodel.toml", "[data]\npath = \"x.h5\"\n");
  write("nodata.toml", "[data]\npath = \"x.h5\"\n[model]\npreset = \"mlp\"\n");
  write("bad.csv", "a,y\n1,0\noops,1\n");
  shell("mkdir -p nothing");
  const struct {
    const char* arguments;
    int code;
    const char* sentence;
  } cases[] = {
      {"", 2, "name a command, such as lockstep train run.toml; see lockstep --help"},
      {"--quiet", 2, "name a command, such as lockstep train run.toml; see lockstep --help"},
      {"trian run.toml", 2,
       "'trian' is not expected here; did you mean train? see lockstep --help"},
      {"--verison", 2,
       "'--verison' is not expected here; did you mean --version? see lockstep --help"},
      {"train", 2, "run is required; see lockstep train --help"},
      {"train --chek a.toml", 2,
       "'--chek' is not expected here; did you mean --check? see lockstep train --help"},
      {"train a.toml b.toml", 2, "'b.toml' is not expected here; see lockstep train --help"},
      {"train --resume --overwrite a.toml", 2, "excludes"},
      {"train missing.toml", 2, "cannot read missing.toml: No such file or directory"},
      {"train bad.toml", 2, "bad.toml:2: unknown key train.bacth; did you mean train.batch?"},
      {"config bad.toml", 2, "bad.toml:2: unknown key train.bacth; did you mean train.batch?"},
      {"train empty.toml", 2,
       "empty.toml: data.path is missing; name the dataset file in [data], or use --set "
       "data.path=FILE (`lockstep import` makes one)"},
      {"train nomodel.toml", 2,
       "nomodel.toml: there is no model; set model.preset to one of linear, mlp, lenet, resnet20, "
       "cosmoflow, gpt, gpt2-124m, llama, or describe layers in [[model.layers]]"},
      {"train nodata.toml", 2, "x.h5"},
      {"train nodata.toml --set train.batch=3", 2,
       "--set train.batch=3: train.batch = 3 cannot be cut into"},
      {"train nodata.toml --set", 2,
       "--set: 1 required SECTION.KEY=VALUE missing; see lockstep train --help"},
      {"config", 2, "name a run file, as in lockstep config run.toml, or --options for all keys"},
      {"eval missing", 2, "there is no missing; name a checkpoint, or a folder of checkpoints"},
      {"eval nothing", 2, "nothing holds no checkpoint; it may belong to another run"},
      {"eval nothing --best", 2, "nothing holds no best checkpoint; it may belong to another run"},
      {"eval bad.toml", 3, "bad.toml"},
      {"generate", 2, "checkpoint is required; see lockstep generate --help"},
      {"generate missing", 2, "there is no missing; name a checkpoint, or a folder of checkpoints"},
      {"generate nothing --tokens 0", 2,
       "--tokens: 0 is not a whole number from 1 up; see lockstep generate --help"},
      {"generate nothing --seed -1", 2, "--seed: -1 is not a whole number from 0 up"},
      {"generate nothing --greedy --temperature 1", 2, "excludes"},
      {"verify a", 2, "b is required; see lockstep verify --help"},
      {"verify a b", 2, "there is no a; name a checkpoint, or a folder of checkpoints"},
      {"inspect missing", 2, "there is no missing; name a dataset file or a checkpoint"},
      {"inspect bad.toml", 2, "bad.toml:2: unknown key"},  // a run file: its data are meant
      {"inspect bad.csv", 3, "bad.csv"},
      {"inspect nothing", 2, "nothing holds no checkpoint; it may belong to another run"},
      {"import -o a.h5", 2, "--train is required; see lockstep import --help"},
      {"import --train missing.csv -o a.h5", 2, "missing.csv"},
      {"import --train bad.csv -o a.h5", 3, "bad.csv"},
      {"import --format xml --train bad.csv -o a.h5", 2,
       "--format: xml not in {idx,csv,tsv,npy,npz,png,netcdf,jsonl,raw,text}; see lockstep import "
       "--help"},
      {"import --deflate 12 --train bad.csv -o a.h5", 2,
       "--deflate: Value 12 not in range 0 to 9; see lockstep import --help"},
      {"config --man nothing", 2, "there is no command nothing to write a man page of"},
  };
  for (const auto& c : cases) {
    const Outcome o = lockstep(c.arguments);
    EXPECT_EQ(o.code, c.code) << c.arguments << "\n" << o.err;
    EXPECT_NE(o.err.find(c.sentence), std::string::npos) << c.arguments << "\n" << o.err;
    EXPECT_EQ(count(o.err, "\n"), 1) << c.arguments << ": one sentence\n" << o.err;
    EXPECT_EQ(o.err.rfind("lockstep: ", 0), 0U) << c.arguments << "\n" << o.err;
    EXPECT_EQ(o.out, "") << c.arguments;
  }
  EXPECT_FALSE(std::filesystem::exists(folder() / "a.h5"));
}

}  // namespace
}  // namespace lockstep::app_tests
