// Every bad input shows its sentence: where it stands, what was given, what is allowed.
#include <gtest/gtest.h>

#include "lockstep/config/run.h"
#include "lockstep/core/error.h"

namespace lockstep::config {
namespace {

using Arguments = std::vector<std::string>;

std::string refusal(const std::string& toml, const Arguments& overrides = {}) {
  try {
    parse_run(toml, "run.toml", overrides);
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

struct Case {
  const char* toml;
  const char* sentence;
};

TEST(RunFile, says_file_line_and_what_is_allowed_when_a_value_is_bad) {
  const Case cases[] = {
      {"[train]\nbatch = \"many\"",
       "run.toml:2: train.batch must be an integer, not \"many\"; allowed: >= 1"},
      {"[train]\nbatch = 256.0",
       "run.toml:2: train.batch must be an integer, not 256 (a number with a fraction); allowed: "
       ">= 1"},
      {"[train]\nlanes = 0",
       "run.toml:2: train.lanes = 0 is out of range; allowed: >= 1, <= 65536"},
      {"[train]\nseed = -1", "run.toml:2: train.seed = -1 is out of range; allowed: >= 0"},
      {"[train]\n\nprecision = \"fp8\"",
       "run.toml:3: train.precision = \"fp8\" is not known; use fp32, bf16"},
      {"[train]\nmonitor = \"\"", "run.toml:2: train.monitor must not be empty"},
      {"[optimizer]\nlr = true",
       "run.toml:2: optimizer.lr must be a number, not true; allowed: >= 0"},
      {"[optimizer]\nlr = nan", "run.toml:2: optimizer.lr = nan is out of range; allowed: >= 0"},
      {"[optimizer]\nlr = inf", "run.toml:2: optimizer.lr = inf is out of range; allowed: >= 0"},
      {"[optimizer]\nlr = 1979-05-27",
       "run.toml:2: optimizer.lr must be a number, not a date or time; allowed: >= 0"},
      {"[optimizer]\nbeta1 = 1",
       "run.toml:2: optimizer.beta1 = 1 is out of range; allowed: >= 0, < 1"},
      {"[optimizer]\nkind = \"adamx\"",
       "run.toml:2: optimizer.kind = \"adamx\" is not known; use sgd, adam, adamw, lamb (did you "
       "mean adam?)"},
      {"[optimizer]\nnesterov = 1",
       "run.toml:2: optimizer.nesterov must be a yes/no value, not 1; allowed: true, false"},
      {"[parallel]\nstrategy = \"shardet\"",
       "run.toml:2: parallel.strategy = \"shardet\" is not known; use replicated, "
       "sharded, server, local (did you mean sharded?)"},
      {"[parallel]\npretend_nodes = \"a\"",
       "run.toml:2: parallel.pretend_nodes = \"a\" is not a list of node numbers; write the node "
       "of each rank, as \"0,1,1\""},
      {"[run]\ndevice = \"cuda:x\"",
       "run.toml:2: run.device = \"cuda:x\" is no device; use cpu, cuda, cuda:NUMBER, "
       "cuda:GPU-UUID or cuda:MIG-UUID"},
      {"[run]\nisa = [1]",
       "run.toml:2: run.isa must be a text, not a list; allowed: auto, avx512, avx2, plain"},
      {"[data]\npath = 7", "run.toml:2: data.path must be a text or list of texts, not 7"},
      {"[data]\nnormalise = \"\"", "run.toml:2: data.normalise must not be empty"},
      {"[model]\npreset = \"mlp\"\nhidden = [64, 0]",
       "run.toml:3: model.hidden = [64, 0] is out of range; allowed: >= 1"},
      {"[model]\npreset = \"mlp\"\nhidden = [64, \"a\"]",
       "run.toml:3: model.hidden must be a list of integers, not a list; allowed: >= 1"},
      {"[model]\npreset = \"resnet\"",
       "run.toml:2: model.preset = \"resnet\" is not known; use linear, mlp, lenet, resnet20, "
       "cosmoflow, gpt, gpt2-124m, llama (did you mean resnet20?)"},
      {"[checkpoint]\nevery = \"10 parsecs\"",
       "run.toml:2: checkpoint.every = \"10 parsecs\" is not an interval; write a whole number "
       "with s, min, h, steps or epoch (\"10min\", \"500steps\", \"1epoch\"), \"end\" or \"auto\""},
      {"[checkpoint]\nkeep = 0",
       "run.toml:2: checkpoint.keep = 0 is out of range; allowed: >= 1, <= 1000000"},
      {"[checkpoint]\nkeep = {a = 1}",
       "run.toml:2: checkpoint.keep must be an integer, not a table; allowed: >= 1, <= 1000000"},
  };
  for (const Case& c : cases) EXPECT_EQ(refusal(c.toml), c.sentence);
}

TEST(RunFile, names_the_nearest_key_when_one_is_unknown) {
  const Case cases[] = {
      {"[train]\nbacth = 64", "run.toml:2: unknown key train.bacth; did you mean train.batch?"},
      {"[train]\nlr = 0.1", "run.toml:2: unknown key train.lr; did you mean optimizer.lr?"},
      {"[train]\nqwertyuiop = 1",
       "run.toml:2: unknown key train.qwertyuiop; `lockstep config --options` lists all keys"},
      {"[model.extra]\na = 1",
       "run.toml:1: unknown key model.extra; did you mean assignment.extra?"},
      {"[optimiser]\nlr = 0.1",
       "run.toml:1: unknown section [optimiser]; did you mean [optimizer]?"},
      {"[xyzzy]",
       "run.toml:1: unknown section [xyzzy]; use one of [data], [model], [train], [optimizer], "
       "[parallel], [assignment], [precision], [run], [checkpoint], [log], [plan]"},
      {"batch = 64", "run.toml:1: batch stands in no section; did you mean train.batch?"},
      {"zzz = 64",
       "run.toml:1: zzz stands in no section; keys belong into one of [data], [model], [train], "
       "[optimizer], [parallel], [assignment], [precision], [run], [checkpoint], [log], [plan]"},
      {"[[train]]\nbatch = 1", "run.toml:1: train must be a section, written as [train]"},
      {"\ntrain = 3", "run.toml:2: train must be a section, written as [train]"},
  };
  for (const Case& c : cases) EXPECT_EQ(refusal(c.toml), c.sentence);
}

TEST(RunFile, says_the_line_when_it_is_not_toml) {
  EXPECT_EQ(refusal("[train]\nbatch = = 3").rfind("run.toml:2: this is not TOML: ", 0), 0U);
  EXPECT_EQ(refusal("[train]\nbatch = 3\nbatch = 4").rfind("run.toml:3: this is not TOML: ", 0),
            0U);
  EXPECT_EQ(refusal("[train\n").rfind("run.toml:1: this is not TOML: ", 0), 0U);
  EXPECT_EQ(refusal(std::string("\x89HDF\r\n\x1a\n", 8)).rfind("run.toml:1: this is not TOML: ", 0),
            0U);
}

TEST(RunFile, names_the_batches_that_fit_when_lanes_do_not_divide_it) {
  EXPECT_EQ(
      refusal("[train]\nbatch = 250"),
      "run.toml:2: train.batch = 250 cannot be cut into train.lanes x train.accumulate = 8 x 1 "
      "equal microbatches; the nearest batches that fit are 248 and 256");
  EXPECT_EQ(refusal("[train]\nlanes = 3\naccumulate = 2\nbatch = 5"),
            "run.toml:4: train.batch = 5 cannot be cut into train.lanes x train.accumulate = 3 x 2 "
            "equal microbatches; the nearest batch that fits is 6");
  EXPECT_EQ(
      refusal("[train]\nlanes = 7"),
      "run.toml:2: train.batch = 256 cannot be cut into train.lanes x train.accumulate = 7 x 1 "
      "equal microbatches; the nearest batches that fit are 252 and 259");
}

TEST(RunFile, refuses_a_key_that_would_have_no_effect) {
  EXPECT_EQ(refusal("[optimizer]\nmomentum = 0.9"),
            "run.toml:2: optimizer.momentum has no effect with optimizer.kind = \"adamw\"; it is "
            "for sgd");
  EXPECT_EQ(
      refusal("[model]\nwidth = 32\npreset = \"mlp\""),
      "run.toml:2: model.width has no effect with model.preset = \"mlp\"; it is for resnet20");
  EXPECT_EQ(refusal("[model]\npreset = \"gpt\"\nkv_heads = 2"),
            "run.toml:3: model.kv_heads has no effect with model.preset = \"gpt\"; it is for "
            "llama");
  EXPECT_EQ(refusal("[model]\npreset = \"gpt2-124m\"\nblocks = 2"),
            "run.toml:3: model.blocks has no effect with model.preset = \"gpt2-124m\"; it is for "
            "gpt, llama");
  EXPECT_EQ(refusal("[optimizer]\nkind = \"sgd\"\nmomentum = 0.9"), "accepted");
}

TEST(RunFile, refuses_an_incomplete_run_only_for_training) {
  const auto complaint = [](const std::string& toml) -> std::string {
    try {
      check_complete(parse_run(toml, "run.toml", {}), "run.toml");
    } catch (const UserError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(complaint(""),
            "run.toml: data.path is missing; name the dataset file in [data], or use --set "
            "data.path=FILE (`lockstep import` makes one)");
  EXPECT_EQ(complaint("[data]\npath = \"a.h5\""),
            "run.toml: there is no model; set model.preset to one of linear, mlp, lenet, resnet20, "
            "cosmoflow, gpt, gpt2-124m, llama, or describe layers in [[model.layers]]");
  EXPECT_EQ(complaint("[data]\npath = \"a.h5\"\n[model]\npreset = \"mlp\""), "accepted");
}

TEST(Override, replaces_what_the_file_says) {
  const train::Run run =
      parse_run("[data]\npath = \"a.h5\"\n[train]\nbatch = 64", "run.toml",
                {"train.batch=128", "data.path=b c.h5", "model.preset=mlp", "model.hidden=64,32",
                 "model.metrics=accuracy,top5", "optimizer.lr=1e-4", "data.check_finite=false",
                 "train.batch=512", "checkpoint.every=2h", "data.test=", "data.input=\"x\""});
  EXPECT_EQ(run.train.batch, 512);
  EXPECT_EQ(run.data.dataset.path, std::vector<std::string>{"b c.h5"});
  EXPECT_EQ(run.model.preset.hidden, (std::vector<std::int64_t>{64, 32}));
  EXPECT_EQ(run.model.metrics, (std::vector<std::string>{"accuracy", "top5"}));
  EXPECT_EQ(run.optimizer.lr, 1e-4);
  EXPECT_FALSE(run.data.check_finite);
  EXPECT_EQ(run.checkpoint.every, "120min");
  EXPECT_EQ(run.data.test, "");
  EXPECT_EQ(run.data.input, "x");
}

TEST(Override, says_the_argument_when_it_is_bad) {
  const struct {
    const char* argument;
    const char* sentence;
  } cases[] = {
      {"train.batch",
       "--set train.batch: write it as --set section.key=value, for example --set train.batch=128"},
      {"batch=3",
       "--set batch=3: write it as --set section.key=value, for example --set train.batch=128"},
      {"train.=3",
       "--set train.=3: write it as --set section.key=value, for example --set train.batch=128"},
      {"train.bacth=3", "--set train.bacth=3: unknown key train.bacth; did you mean train.batch?"},
      {"train.batch=x",
       "--set train.batch=x: train.batch must be an integer, not \"x\"; allowed: >= 1"},
      {"train.batch=",
       "--set train.batch=: train.batch must be an integer, not \"\"; allowed: >= 1"},
      {"data.check_finite=yes",
       "--set data.check_finite=yes: data.check_finite must be a yes/no value, not \"yes\"; "
       "allowed: true, false"},
      {"model.hidden=64;32",
       "--set model.hidden=64;32: model.hidden must be a list of integers, not \"64;32\"; allowed: "
       ">= 1"},
      {"model.layers=[]",
       "--set model.layers=[]: layers are described in the run file only, as [[model.layers]]"},
      {"train.batch=255",
       "--set train.batch=255: train.batch = 255 cannot be cut into train.lanes x train.accumulate "
       "= 8 x 1 equal microbatches; the nearest batches that fit are 248 and 256"},
      {"model.metrics=accuracy,nonsense", nullptr},
  };
  for (const auto& c : cases) {
    if (c.sentence != nullptr) {
      EXPECT_EQ(refusal("", {c.argument}), c.sentence);
    } else {
      EXPECT_EQ(refusal("", {c.argument}).rfind(fmt::format("--set {}: ", c.argument), 0), 0U);
    }
  }
}

TEST(RunFile, names_the_file_when_it_cannot_be_read) {
  try {
    read_run("/nonexistent/run.toml", {});
    FAIL() << "a missing file was accepted";
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("/nonexistent/run.toml"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace lockstep::config
