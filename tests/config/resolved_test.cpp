// The resolved print reads back as the same run, in the same text.
#include <gtest/gtest.h>

#include "config/options.h"
#include "lockstep/config/run.h"
#include "lockstep/core/error.h"

namespace lockstep::config {
namespace {

void expect_stable(const train::Run& run) {
  const std::string text = resolved_toml(run);
  const train::Run again = parse_run(text, "resolved.toml", {});
  EXPECT_EQ(resolved_toml(again), text);
  // Every option that is printed holds the same value, bit for bit.
  for (const SectionTable& section : sections()) {
    for (const auto& o : section.options) {
      if (!section.applies(o, run)) continue;
      EXPECT_EQ(o.get(again), o.get(run)) << section.name << "." << o.name;
    }
  }
}

TEST(Resolved, default_run_reads_back) { expect_stable(train::Run{}); }

TEST(Resolved, default_values_are_those_of_the_structs) {
  const train::Run parsed = parse_run("", "empty.toml", {});
  EXPECT_EQ(resolved_toml(parsed), resolved_toml(train::Run{}));
}

TEST(Resolved, every_preset_optimizer_and_schedule_reads_back) {
  for (const std::string& preset : nn::preset_names()) {
    for (const char* kind : {"sgd", "adam", "adamw", "lamb"}) {
      for (const char* schedule : {"constant", "step", "linear", "cosine", "inverse_sqrt"}) {
        expect_stable(parse_run("", "run.toml",
                                {"model.preset=" + preset, std::string("optimizer.kind=") + kind,
                                 std::string("optimizer.schedule=") + schedule}));
      }
    }
  }
}

TEST(Resolved, awkward_numbers_and_texts_read_back) {
  train::Run run;
  run.optimizer.lr = 0.1 + 0.2;
  run.optimizer.epsilon = 5e-324;
  run.optimizer.decay = 1.7976931348623157e308;
  run.optimizer.beta2 = 0.99999999999999989;
  run.run.watchdog = 1e22;
  run.train.seed = 9223372036854775807ULL;
  const std::string path = "a \"quoted\"\\ path\twith\nall\x01 of it \xC3\xA9.h5";
  run.data.dataset.path = {path};
  run.model.preset.preset = "mlp";
  run.model.preset.hidden = {};
  run.model.metrics = {"accuracy", "top5"};
  run.data.normalise = data::Normalise::kUnit;
  expect_stable(run);
  EXPECT_EQ(parse_run(resolved_toml(run), "r", {}).data.dataset.path, std::vector{path});
}

TEST(Resolved, layers_read_back) {
  train::Run run;
  for (const std::string& kind : nn::layer_kinds()) {
    nn::LayerSpec layer;
    layer.kind = kind;
    layer.kernel = {3, 1};
    layer.stride = {2};
    layer.out = 5;
    layer.rate = 0.1;
    layer.bias = false;
    layer.epsilon = 1e-3;
    layer.slope = -0.25;
    layer.groups = 5;
    layer.vocabulary = 7;
    layer.context = 9;
    layer.heads = 4;
    layer.kv_heads = 2;
    layer.causal = false;
    layer.rotary = 500;
    layer.tied = "other";
    layer.block = 3;
    layer.deviation = 0.02;
    layer.name = kind + "x";
    layer.inputs = {"input", "other"};
    run.model.layers.push_back(layer);
  }
  expect_stable(run);
  const train::Run again = parse_run(resolved_toml(run), "r", {});
  ASSERT_EQ(again.model.layers.size(), run.model.layers.size());
  for (std::size_t i = 0; i < run.model.layers.size(); ++i) {
    const nn::LayerSpec& a = run.model.layers[i];
    const nn::LayerSpec& b = again.model.layers[i];
    for (const auto& o : layer_keys()) {
      if (!o.applies_to(a.kind)) continue;
      EXPECT_EQ(o.get(b), o.get(a)) << a.kind << "." << o.name;
    }
  }
}

TEST(Resolved, shows_only_what_has_an_effect) {
  const std::string text = resolved_toml(parse_run("", "r", {"optimizer.kind=sgd"}));
  EXPECT_NE(text.find("momentum = 0\n"), std::string::npos);
  EXPECT_EQ(text.find("beta1"), std::string::npos);
  EXPECT_NE(text.find("lr = 0.001\n"), std::string::npos);
}

TEST(Interval, is_kept_in_the_form_that_the_trainer_reads) {
  const struct {
    const char* written;
    const char* meant;
  } cases[] = {{"30s", "30s"},           {"10min", "10min"},  {"2h", "120min"},
               {"500steps", "500steps"}, {"1step", "1steps"}, {"1epoch", "1epoch"},
               {"3epochs", "3epoch"},    {"end", "end"},      {"auto", "auto"}};
  for (const auto& c : cases) EXPECT_EQ(checkpoint_interval(c.written), c.meant);
  for (const char* bad : {"", "0s", "-1s", "1.5h", "s", "10", "10 min", "10minutes", "end ",
                          "99999999999h", "99999999999999999999s"}) {
    EXPECT_THROW(checkpoint_interval(bad), UserError) << bad;
  }
}

}  // namespace
}  // namespace lockstep::config
