// A run file and a dataset as a job: against sums by hand.
#include "lockstep/plan/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "lockstep/config/run.h"
#include "lockstep/data/import.h"
#include "parallel/gradient_sink.h"
#include "train/precision.h"
#include "train/scratch_folder.h"
#include "train/setup.h"

namespace lockstep::plan {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kSamples = 640, kPixels = 28 * 28;

// 576 images to train on and 64 to judge by.
class Jobs : public testing::Test {
 protected:
  void import_images(int deflate = 0) {
    const auto raw = folder_.path() / "images.raw";
    {
      std::ofstream out(raw, std::ios::binary);
      for (std::int64_t i = 0; i < kSamples; ++i) {
        out.put(static_cast<char>(i % 10));
        for (std::int64_t p = 0; p < kPixels; ++p) out.put(static_cast<char>(i * p / 7 % 3));
      }
    }
    data::ImportOptions options;
    options.format = "raw";
    options.record = "label:u8 image:u8:28x28";
    options.train = {raw};
    options.out = file();
    options.deflate = deflate;
    data::import_dataset(options, {});
  }
  std::string file() const { return (folder_.path() / "d.h5").string(); }
  train::Run run(const std::string& rest) const {
    return config::parse_run("data.path = \"" + file() + "\"\n" + rest, "run.toml", {});
  }
  Job job(const std::string& rest) const { return make_job(run(rest), "run.toml"); }

 private:
  train::ScratchFolder folder_;
};

TEST_F(Jobs, count_an_mlp_as_by_hand) {
  import_images();
  const Job j =
      job("model.preset = \"mlp\"\nmodel.hidden = [256, 128]\n"
          "train.batch = 64\ntrain.lanes = 4\ntrain.accumulate = 2\ntrain.epochs = 3\n");
  EXPECT_EQ(j.parameters, 784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10);
  EXPECT_EQ(j.microbatch, 8);
  EXPECT_EQ(j.steps_per_epoch, 9);
  EXPECT_EQ(j.steps, 27);
  EXPECT_EQ(j.evaluated, 3 * 64);
  EXPECT_EQ(j.loss, "softmax_cross_entropy");
  EXPECT_EQ(j.outputs, 10);
  // Products of forward, of the gradient of the weights, and of the inputs but the data; a bias
  // added and summed.
  const double first = 8.0 * 784 * 256, second = 8.0 * 256 * 128, third = 8.0 * 128 * 10;
  const double biases = 2 * 8.0 * (256 + 128 + 10);
  EXPECT_DOUBLE_EQ(j.flops(), 4 * 2 * (4 * first + 6 * second + 6 * third + biases));
  const JobOp& input = j.ops.front();
  EXPECT_EQ(input.kind, "linear_input");
  EXPECT_EQ(input.size, (std::vector<double>{8, 784, 256}));
  EXPECT_EQ(j.ops.back().kind, "softmax_cross_entropy");
  EXPECT_EQ(j.ops.back().size, (std::vector<double>{8, 10}));
}

TEST_F(Jobs, have_what_was_fused_behind_the_op_that_it_was_fused_into) {
  import_images();
  const Job j = job("model.preset = \"mlp\"\nmodel.hidden = [256]\nmodel.dropout = 0.2\n");
  std::vector<std::string> kinds;
  for (const JobOp& op : j.ops) kinds.push_back(op.kind + (op.fused ? "*" : ""));
  EXPECT_EQ(kinds, (std::vector<std::string>{"linear_input", "relu*", "dropout*", "linear",
                                             "softmax_cross_entropy"}));
  EXPECT_EQ(j.ops[0].first, 0);
  EXPECT_EQ(j.ops[0].end, 2);
  EXPECT_EQ(j.ops[1].first, j.ops[1].end);
  double bytes = 0;
  for (const std::size_t own : {0, 3, 4})
    bytes += j.ops[own].forward_bytes + j.ops[own].backward_bytes;
  EXPECT_DOUBLE_EQ(j.bytes(), 8 * bytes);
}

TEST_F(Jobs, agree_with_program_and_buckets_of_the_run) {
  import_images();
  for (const char* model :
       {"model.preset = \"lenet\"", "model.preset = \"resnet20\"", "model.preset = \"linear\"",
        "model.preset = \"resnet20\"\ntrain.recompute = \"block\""}) {
    const train::Run r = run(std::string(model) + "\ntrain.batch = 32\ntrain.lanes = 2\n");
    const Job j = make_job(r, "run.toml");
    data::Manifest manifest = data::read_manifest(r.data.dataset);
    const train::Task task = train::make_task(r, manifest, "train");
    const nn::Program program(sparse_cpu_device(), train::make_layers(r, task),
                              train::program_options(r, task, ops::Precision::kFp32));
    EXPECT_DOUBLE_EQ(j.flops(), 2 * program.flops()) << model;
    EXPECT_EQ(j.parameters, program.table().elements()) << model;
    const auto buckets = parallel::BucketTable(program, 0).buckets;
    ASSERT_EQ(j.buckets.size(), buckets.size()) << model;
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      EXPECT_EQ(j.buckets[i].range.begin, buckets[i].range.begin) << model;
      EXPECT_EQ(j.buckets[i].range.end, buckets[i].range.end) << model;
    }
    // Every parameter has one op.
    std::vector<int> owners(static_cast<std::size_t>(program.table().size()));
    for (const JobOp& op : j.ops)
      for (int p = op.first; p < op.end; ++p) ++owners[static_cast<std::size_t>(p)];
    for (const int count : owners) EXPECT_EQ(count, 1) << model;
  }
}

// He et al. 2016: 0.27 M parameters; 41 M multiply-adds for 32 x 32 images, those of 28 x 28 are
// fewer as the positions are: 28 * 28, 14 * 14, 7 * 7.
TEST_F(Jobs, count_a_resnet_as_the_field_does) {
  import_images();
  const Job j = job("model.preset = \"resnet20\"\ntrain.batch = 8\ntrain.lanes = 8\n");
  const double s1 = 784, s2 = 196, s3 = 49;
  const double taps = 9 * (s1 * (16 + 6 * 256) +            // the first layer, stage 1
                           s2 * (16 * 32 + 5 * 32 * 32) +   // stage 2
                           s3 * (32 * 64 + 5 * 64 * 64)) +  // stage 3
                      s2 * 16 * 32 +
                      s3 * 32 * 64 + 64 * 10;  // shortcuts, the last layer
  double flops = 0;
  for (const JobOp& op : j.ops) {
    if (op.kind.starts_with("convolution") || op.kind == "linear") flops += op.forward_flops;
  }
  EXPECT_DOUBLE_EQ(flops, 2 * taps + 10);
}

TEST_F(Jobs, know_how_the_data_lie_in_their_file) {
  import_images();
  Job j = job("model.preset = \"linear\"\n");
  EXPECT_EQ(j.data.samples, 576);
  EXPECT_EQ(j.data.stored_bytes, kPixels + 1);
  EXPECT_EQ(j.data.total_bytes, 576 * (kPixels + 1));
  EXPECT_EQ(j.data.decoded_bytes, 4 * (kPixels + 1));
  EXPECT_EQ(j.data.values, kPixels);
  EXPECT_EQ(j.data.filters, "");
  std::filesystem::remove(file());
  import_images(6);
  j = job("model.preset = \"linear\"\n");
  EXPECT_NE(j.data.filters.find("deflate"), std::string::npos);
  EXPECT_LT(j.data.stored_bytes, kPixels / 2);
  EXPECT_GT(j.data.stored_bytes, 1);
}

TEST_F(Jobs, grow_by_lanes) {
  import_images();
  const Job one =
      job("model.preset = \"linear\"\ntrain.batch = 16\ntrain.lanes = 2\ntrain.epochs = 4\n");
  const Job more = with_lanes(one, 8);
  EXPECT_EQ(more.batch, 64);
  EXPECT_EQ(more.lanes, 8);
  EXPECT_EQ(more.parallel.lanes, 8);
  EXPECT_EQ(more.steps_per_epoch, 9);
  EXPECT_EQ(more.steps, 36);
  EXPECT_EQ(more.optimizer.total_steps, 36);
  EXPECT_DOUBLE_EQ(more.flops(), 4 * one.flops());
}

TEST_F(Jobs, of_a_gpu_are_planned_without_one) {
  import_images();
  const Job j =
      job("model.preset = \"lenet\"\nrun.device = \"cuda\"\ntrain.precision = \"bf16\"\n");
  EXPECT_EQ(j.device, "cuda");
  EXPECT_EQ(j.precision, "bf16");
}

TEST_F(Jobs, are_refused_as_their_run_would_be) {
  import_images();
  const auto refusal = [&](const char* rest) {
    return train::sentence_of(ExitCode::kUser, [&] { job(rest); });
  };
  EXPECT_THAT(refusal("train.batch = 4096\n"),
              HasSubstr("train.batch = 4096 is more than the 576 samples"));
  EXPECT_THAT(refusal("model.preset = \"mlp\"\noptimizer.schedule = \"step\"\n"),
              HasSubstr("optimizer.step_every"));
}

}  // namespace
}  // namespace lockstep::plan
