#include "lockstep/plan/job.h"

#include <algorithm>
#include <cmath>

#include "lockstep/core/error.h"
#include "lockstep/data/normalisation.h"
#include "lockstep/data/stored.h"
#include "parallel/gradient_sink.h"
#include "plan/job_ops.h"
#include "plan/memory.h"
#include "train/precision.h"
#include "train/setup.h"

namespace lockstep::plan {
namespace {

// What a run opens before it trains. Statistics that the files lack are not computed: they decide
// nothing here.
data::Manifest read_data(const train::Run& run) {
  const auto alone = comm::make_self_communicator();
  data::Manifest manifest = data::read_manifest(*alone, run.data.dataset);
  if (manifest.find(run.data.train) != nullptr) data::cut_sequences(manifest, run.data.sequence);
  return manifest;
}

// Numbers of the right count in place of statistics that a file lacks and that a run would measure:
// a plan needs their room alone.
void stand_in_for_statistics(data::Manifest& manifest, const train::Task& task,
                             data::Normalise normalise) {
  if (task.tokens()) return;
  for (data::Split& split : manifest.splits) {
    for (data::Field& field : split.fields) {
      if (field.name != task.input->name || !field.centre.empty()) continue;
      const bool channels = data::normalise_of(field, normalise) == data::Normalise::kChannel;
      const auto count = static_cast<std::size_t>(channels ? field.seen()[-1] : 1);
      field.centre.assign(count, 0);
      field.width.assign(count, 1);
    }
  }
}

// A gpu of a machine that is not here computes as it is asked to.
ops::Precision precision_of(const train::Run& run) {
  return run.run.device == "cpu" ? train::precision_in_force(run, cpu_device())
                                 : run.train.precision;
}

JobData job_data(const data::Manifest& manifest, const train::Task& task,
                 const std::string& split_name) {
  const data::Split& split = *manifest.find(split_name);
  const data::StoredField input = data::stored_field(manifest, *task.input);
  JobData data;
  data.samples = static_cast<double>(split.samples);
  data.values = static_cast<double>(task.sample.elements());
  data.stored_bytes = input.bytes;
  // The next tokens are the same bytes of the file, which are read for both.
  if (!task.tokens()) data.stored_bytes += data::stored_field(manifest, *task.target).bytes;
  data.filters = input.filters;
  data.total_bytes = data.stored_bytes * data.samples;
  const double targets = static_cast<double>(task.target_is_class() ? task.labels : task.outputs);
  data.decoded_bytes = sizeof(float) * (data.values + targets);
  return data;
}

// As Trainer: after every so many epochs, and at the end.
double evaluations(const Job& job, std::int64_t every) {
  const std::int64_t epochs = job.steps / job.steps_per_epoch;
  const std::int64_t due = every > 0 ? epochs / every : 0;
  const bool at_end = every == 0 || epochs % every != 0 || job.steps % job.steps_per_epoch != 0;
  return static_cast<double>(due + (at_end ? 1 : 0));
}

void add_model(Job& job, const train::Run& run, const train::Task& task, ops::Precision precision) {
  // On a device that only plans: nothing is touched, so that it costs no memory.
  const nn::Program program(sparse_cpu_device(), train::make_layers(run, task),
                            train::program_options(run, task, precision));
  const ParameterTable& table = program.table();
  for (nn::OpCost& cost : program.op_costs()) job.ops.push_back(job_op(std::move(cost)));
  job.buckets = parallel::BucketTable(program, job.parallel.bucket_bytes).buckets;
  job.flat_elements = table.flat_elements();
  double held = 0;  // numbers in a checkpoint
  const auto state = static_cast<double>(optim::state_names(run.optimizer).size());
  for (const Parameter& p : table.parameters()) {
    if (p.kind != ParameterKind::kStatistic) job.parameters += p.elements;
    held += static_cast<double>(p.elements) * (1 + state);
  }
  job.checkpoint_bytes = sizeof(float) * held;
  // Says what is wrong with the optimizer's keys.
  const optim::Optimizer optimizer(table, job.optimizer, sparse_cpu_device());
}

std::int64_t steps_per_epoch(const Job& job) {
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(job.data.samples) / job.batch);
}

}  // namespace

JobOp job_op(nn::OpCost cost) {
  JobOp op;
  op.layer = std::move(cost.layer);
  op.kind = std::move(cost.kind);
  op.size = std::move(cost.size);
  op.forward_flops = cost.cost.forward_flops;
  op.backward_flops = cost.cost.backward_flops;
  op.forward_bytes = cost.cost.forward_bytes;
  op.backward_bytes = cost.cost.backward_bytes;
  op.packed_bytes = cost.packed_bytes;
  op.first = cost.first;
  op.end = cost.end;
  op.fused = cost.fused;
  op.again = cost.again;
  return op;
}

Job make_job(const train::Run& run, const std::string& name) {
  data::Manifest manifest = read_data(run);
  const train::Task task = train::make_task(run, manifest, run.data.train);
  stand_in_for_statistics(manifest, task, run.data.normalise);
  train::check_batch(run, manifest);
  const ops::Precision precision = precision_of(run);
  Job job;
  job.name = name;
  job.device = run.run.device == "cpu" ? "cpu" : "cuda";
  job.precision = name_of(precision);
  job.batch = run.train.batch;
  job.lanes = run.train.lanes;
  job.accumulate = run.train.accumulate;
  job.microbatch = task.microbatch;
  job.threads = run.run.threads;
  job.loss = name_of(task.loss);
  job.outputs = task.outputs;
  job.sequence = task.sequence;
  job.parallel = train::parallel_options(run);
  job.data = job_data(manifest, task, run.data.train);
  job.steps_per_epoch = steps_per_epoch(job);
  job.steps = run.train.steps > 0 ? run.train.steps : run.train.epochs * job.steps_per_epoch;
  job.optimizer = run.optimizer;
  job.optimizer.total_steps = job.steps;
  if (const data::Split* const split = train::validation_split(run, manifest))
    job.evaluated =
        static_cast<double>(split->samples) * evaluations(job, run.train.evaluate_every);
  if (!run.checkpoint.dir.empty()) job.checkpoint_every = run.checkpoint.every;
  job.mtbf = run.checkpoint.mtbf;
  add_model(job, run, task, precision);
  job.memory = memory_of(run, manifest);
  return job;
}

Job with_lanes(const Job& job, std::int64_t lanes) {
  LOCKSTEP_CHECK(lanes > 0, "{} lanes", lanes);
  Job more = job;
  more.lanes = more.parallel.lanes = lanes;
  more.batch = lanes * job.accumulate * job.microbatch;
  more.steps_per_epoch = steps_per_epoch(more);
  // As many epochs.
  const double epochs = static_cast<double>(job.steps) / static_cast<double>(job.steps_per_epoch);
  more.steps =
      std::max<std::int64_t>(1, std::llround(epochs * static_cast<double>(more.steps_per_epoch)));
  more.optimizer.total_steps = more.steps;
  return more;
}

double Job::flops() const {
  double sum = 0;
  for (const JobOp& op : ops) sum += op.forward_flops + op.backward_flops;
  return sum * static_cast<double>(lanes * accumulate);
}

double Job::bytes() const {
  double sum = 0;
  for (const JobOp& op : ops) {
    if (!op.fused) sum += (op.again ? 2 : 1) * op.forward_bytes + op.backward_bytes;
  }
  return sum * static_cast<double>(lanes * accumulate);
}

}  // namespace lockstep::plan
