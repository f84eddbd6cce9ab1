// Published scaling against what the simulator says, from inputs.toml alone (docs/scaling.md).
// Usage: published [inputs.toml]; prints a table in Markdown.
#include <fmt/format.h>
#include <toml++/toml.h>

#include <ctime>
#include <exception>
#include <string>
#include <vector>

#include "lockstep/plan/simulate.h"

namespace {

using namespace lockstep::plan;

double number(const toml::table& table, const char* key) {
  const auto value = table[key].value<double>();
  if (!value) throw std::runtime_error(fmt::format("the inputs have no number '{}'", key));
  return *value;
}

const toml::table& part(const toml::table& table, const char* key) {
  const toml::table* found = table[key].as_table();
  if (found == nullptr) throw std::runtime_error(fmt::format("the inputs have no [{}]", key));
  return *found;
}

double at(const toml::array& row, std::size_t i) { return *row[i].value<double>(); }

// Ops with their parameters, one bucket for each op that has some, as a framework's hooks give
// gradients.
class Model {
 public:
  void op(const std::string& layer, const std::string& kind, double parameters, double flops,
          double forward_bytes = 0, double backward_bytes = 0) {
    JobOp op;
    op.layer = layer;
    op.kind = kind;
    op.forward_flops = flops;
    op.backward_flops = kind == "attention" ? 2.5 * flops : 2 * flops;
    op.forward_bytes = forward_bytes;
    op.backward_bytes = backward_bytes;
    op.first = op.end = static_cast<int>(sizes_.size());
    if (parameters > 0) {
      ++op.end;
      sizes_.push_back(static_cast<std::int64_t>(parameters));
    }
    job_.ops.push_back(op);
  }
  Job job(const std::string& name, std::int64_t ranks) {
    std::int64_t at = 0;
    std::vector<lockstep::parallel::Bucket> buckets;
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      const auto first = static_cast<int>(i);
      buckets.push_back({first, first + 1, {at, at + sizes_[i]}});
      at += sizes_[i];
    }
    job_.buckets.assign(buckets.rbegin(), buckets.rend());
    job_.name = name;
    job_.device = "cuda";
    job_.parameters = job_.flat_elements = at;
    job_.lanes = ranks;
    job_.steps = 1000;
    return job_;
  }
  double flops() const {
    double all = 0;
    for (const JobOp& op : job_.ops) all += op.forward_flops + op.backward_flops;
    return all;
  }

 private:
  Job job_;
  std::vector<std::int64_t> sizes_;
};

Model vgg16(const toml::table& inputs, double batch) {
  const toml::table& t = part(inputs, "vgg16");
  Model model;
  int count = 0;
  for (const toml::node& node : *t["convolutions"].as_array()) {
    const toml::array& row = *node.as_array();
    const double weights = 9 * at(row, 0) * at(row, 1), side = at(row, 2);
    model.op(fmt::format("conv{}", ++count), "convolution", weights + at(row, 1),
             2 * weights * side * side * batch);
  }
  for (const toml::node& node : *t["linear"].as_array()) {
    const toml::array& row = *node.as_array();
    const double weights = at(row, 0) * at(row, 1);
    model.op(fmt::format("fc{}", ++count), "linear", weights + at(row, 1), 2 * weights * batch);
  }
  return model;
}

Model resnet101(const toml::table& inputs, double batch) {
  const toml::table& t = part(inputs, "resnet101");
  Model model;
  // A convolution and the scales and shifts of the batch norm behind it.
  const auto convolution = [&](const std::string& name, double in, double out, double taps,
                               double side) {
    const double weights = in * out * taps;
    model.op(name, "convolution", weights + 2 * out, 2 * weights * side * side * batch);
  };
  convolution("conv1", 3, 64, 49, 112);
  double channels = 64;
  int stage = 1;
  for (const toml::node& node : *t["stages"].as_array()) {
    const toml::array& row = *node.as_array();
    const double width = at(row, 1), side = at(row, 2);
    ++stage;
    for (int block = 0; block < static_cast<int>(at(row, 0)); ++block) {
      const std::string name = fmt::format("conv{}_{}", stage, block + 1);
      // The first convolution 1x1 of a stage has the stride (He et al. 2015).
      convolution(name + "a", channels, width, 1, side);
      convolution(name + "b", width, width, 9, side);
      convolution(name + "c", width, 4 * width, 1, side);
      if (block == 0) convolution(name + "s", channels, 4 * width, 1, side);
      channels = 4 * width;
    }
  }
  const double weights = channels * number(t, "classes");
  model.op("fc", "linear", weights + number(t, "classes"), 2 * weights * batch);
  return model;
}

Model gpt2(const toml::table& inputs) {
  const toml::table& t = part(inputs, "gpt2");
  const double width = number(t, "width"), tokens = number(t, "positions") * number(t, "sequences");
  const double vocabulary = number(t, "vocabulary"), bytes = number(t, "value_bytes");
  const double value = tokens * width * bytes;  // read or written once
  Model model;
  model.op("embedding", "embedding", (vocabulary + number(t, "positions")) * width, 0, 2 * value,
           2 * value);
  for (int i = 0; i < static_cast<int>(number(t, "layers")); ++i) {
    const auto product = [&](const char* name, double in, double out) {
      model.op(fmt::format("block{}.{}", i, name), "linear", in * out + out, 2 * in * out * tokens);
    };
    product("qkv", width, 3 * width);
    // Half of the scores: causal.
    model.op(fmt::format("block{}.attention", i), "attention", 0,
             4 * tokens * number(t, "positions") * width / 2);
    product("projection", width, width);
    product("up", width, 4 * width);
    product("down", 4 * width, width);
    model.op(fmt::format("block{}.elementwise", i), "elementwise", 4 * width, 0,
             number(t, "forward_values") * value, number(t, "backward_values") * value);
  }
  model.op("head", "linear", 0, 2 * width * vocabulary * tokens);
  model.op("loss", "elementwise", 2 * width, 0,
           number(t, "logit_passes") * tokens * vocabulary * bytes, 0);
  return model;
}

KernelRate rate(const char* kernel, const char* precision, double flops) {
  return {kernel, precision, {}, flops, flops};
}

Level level(const char* name, double latency, double bandwidth) {
  Level made;
  made.name = name;
  made.latency = latency;
  made.bandwidth = bandwidth;
  return made;
}

struct Row {
  std::string what;
  double predicted, published;
  bool seconds;
  Phases step;
};

// Published images/s include the update: all of it is put on the ops. speed: flop/s.
Machine horovods_machine(const toml::table& inputs, double speed) {
  const toml::table& h = part(inputs, "horovod");
  const toml::table& node = part(h, "node");
  const toml::table& network = part(h, "network");
  Machine machine;
  machine.name = "Horovod's";
  machine.device.kind = "cuda";
  machine.device.memory_bandwidth = number(part(inputs, "p100"), "memory_bandwidth");
  machine.device.fp32 = speed;
  machine.device.rates = {rate("convolution", "fp32", speed), rate("linear", "fp32", speed),
                          rate("sgd", "fp32", 1e30)};
  machine.levels = {level("node", number(node, "latency"), number(node, "bandwidth")),
                    level("network", number(network, "latency"), number(network, "bandwidth"))};
  machine.levels[1].unit_bandwidth = number(network, "bandwidth");

  return machine;
}

// Efficiency against one GPU without communication, as Horovod defines it.
Row horovod(const toml::table& inputs, const std::string& name, std::int64_t servers, double images,
            double published, bool host_ahead) {
  const toml::table& p100 = part(inputs, "p100");
  const toml::table& h = part(inputs, "horovod");
  const toml::table& network = part(h, "network");
  const double batch = number(p100, "batch");
  Model model = name == "VGG-16" ? vgg16(inputs, batch) : resnet101(inputs, batch);
  const auto gpus = static_cast<std::int64_t>(number(h, "gpus"));
  Job job = model.job(name, servers * gpus);
  job.precision = "fp32";
  job.microbatch = static_cast<std::int64_t>(batch);
  job.batch = job.microbatch * job.lanes;
  job.optimizer.kind = lockstep::optim::Kind::kSgd;

  const Machine machine = horovods_machine(inputs, model.flops() / (batch / images));
  SimulateOptions options;
  options.exchange = Exchange::kRing;
  options.cycle = number(h, "cycle");
  options.fusion_bytes = number(h, "fusion_bytes");
  options.message_latency = number(network, "message_latency");
  options.message_overhead = number(network, "message_overhead");
  options.element_bytes = number(h, "gradient_bytes");
  options.host_ahead = host_ahead;
  const Simulated all = simulate(job, machine, {servers * gpus, gpus}, options);
  const double efficiency = all.samples_per_second / (images * static_cast<double>(servers * gpus));
  return {fmt::format("{}, {} P100, 25 GbE (Horovod)", name, servers * gpus), efficiency, published,
          false, all.ranks[0]};
}

Row llmc(const toml::table& inputs, double published) {
  const toml::table& a100 = part(inputs, "a100");
  const toml::table& t = part(inputs, "gpt2");
  const auto gpus = static_cast<std::int64_t>(number(t, "gpus"));
  Model model = gpt2(inputs);
  Job job = model.job("GPT-2 124M", gpus);
  job.precision = "bf16";
  job.microbatch = static_cast<std::int64_t>(number(t, "sequences"));
  job.batch = job.microbatch * gpus;
  job.parallel.kind = lockstep::parallel::Kind::kSharded;
  job.parallel.stage = 1;
  job.optimizer.kind = lockstep::optim::Kind::kAdamW;

  Machine machine;
  machine.name = "8 A100";
  machine.device.kind = "cuda";
  machine.device.memory_bandwidth = number(a100, "memory_bandwidth");
  machine.device.bf16 = number(a100, "peak");
  machine.device.rates = {rate("linear", "bf16", number(a100, "matrix_product")),
                          rate("attention", "bf16", number(a100, "attention"))};
  machine.levels = {
      level("node", number(a100, "nvlink_latency"), number(a100, "nvlink_bandwidth"))};
  SimulateOptions options;
  options.exchange = Exchange::kRing;
  options.element_bytes = number(t, "gradient_bytes");
  const Simulated all = simulate(job, machine, {gpus, gpus}, options);
  return {"GPT-2 124M, 524288 tokens, 8 A100 (llm.c)",
          static_cast<double>(job.batch) / all.samples_per_second, published, true, all.ranks[0]};
}

void print_heading(const char* text) {
  fmt::print(
      "\n{}:\n\n| | simulated | published | off by | compute, ms | exposed, ms | hidden, ms |\n",
      text);
  fmt::print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n");
}

void print(const Row& row) {
  const auto text = [&](double x) {
    return row.seconds ? fmt::format("{:.0f} ms", 1e3 * x) : fmt::format("{:.0f} %", 100 * x);
  };
  fmt::print("| {} | {} | {} | {:+.0f} % | {:.0f} | {:.0f} | {:.0f} |\n", row.what,
             text(row.predicted), text(row.published), 100 * (row.predicted / row.published - 1),
             1e3 * row.step.compute, 1e3 * row.step.exposed, 1e3 * row.step.hidden);
}

// How long playing 20 steps of ResNet-101 by lanes takes, where each rank is played by itself.
void print_playing(const toml::table& inputs, double images) {
  fmt::print("\n| ranks of ResNet-101, 20 steps, each rank played | processor seconds |\n");
  fmt::print("| --- | ---: |\n");
  for (const std::int64_t ranks : {512, 4096, 16384}) {
    Model model = resnet101(inputs, 64);
    Job job = model.job("ResNet-101", ranks);
    job.precision = "fp32";
    job.microbatch = 64;
    job.batch = 64 * ranks;
    Machine machine = horovods_machine(inputs, model.flops() / (64 / images));
    machine.reliability.jitter = 0.01;
    const std::clock_t begin = std::clock();
    simulate(job, machine, {ranks, 4}, {});
    const double took = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    fmt::print("| {} | {:.1f} |\n", ranks, took);
  }
}

int run(const char* path) {
  const toml::table inputs = toml::parse_file(path);
  const toml::table& p100 = part(inputs, "p100");
  const toml::table& published = part(inputs, "published");
  const double r50 = number(p100, "resnet50_multiply_adds");
  const double r101 = number(p100, "resnet101_multiply_adds");
  const double r152 = number(p100, "resnet152_multiply_adds");
  const double s50 = 1 / number(p100, "resnet50_images"),
               s152 = 1 / number(p100, "resnet152_images");
  const double resnet = 1 / (s50 + (s152 - s50) * (r101 - r50) / (r152 - r50));
  const double vgg = number(p100, "vgg16_images");
  const auto print_horovod = [&](bool ahead) {
    for (const std::int64_t servers : {128, 32}) {
      const std::string at = servers == 128 ? "512" : "128";
      for (const std::string model : {"ResNet-101", "VGG-16"}) {
        const bool is_vgg = model == "VGG-16";
        const std::string key = (is_vgg ? "vgg16_" : "resnet101_") + at;
        print(horovod(inputs, model, servers, is_vgg ? vgg : resnet, number(published, key.c_str()),
                      ahead));
      }
    }
  };
  print_heading("As frozen: gradients are agreed on when they are computed");
  print_horovod(false);
  print(llmc(inputs, number(published, "gpt2_step")));
  print_heading("The host ahead of its device: gradients are agreed on before they are computed");
  print_horovod(true);
  print_playing(inputs, resnet);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  return run(argc > 1 ? argv[1] : "benchmarks/scaling/inputs.toml");
} catch (const std::exception& error) {
  fmt::print(stderr, "published: {}\n", error.what());
  return 2;
}
