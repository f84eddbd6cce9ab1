// A run as the plan sees it: its ops with what each costs, its buckets, its data, its memory on any
// number of ranks. Made from a run file and the data's manifest, on a device that only plans:
// nothing is trained and no memory is taken.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/nn/program.h"
#include "lockstep/optim/optimizer.h"
#include "lockstep/parallel/buckets.h"
#include "lockstep/parallel/strategy.h"
#include "lockstep/train/run.h"

namespace lockstep::plan {

// An op on one microbatch: a row of nn::Program::op_costs().
struct JobOp {
  std::string layer, kind;
  std::vector<double> size;  // as KernelRate::size
  double forward_flops = 0, backward_flops = 0;
  double forward_bytes = 0, backward_bytes = 0;
  double packed_bytes = 0;  // written after each update, in the kernel's own layout
  int first = 0, end = 0;   // its parameters, [first, end) of the table; equal: none
  bool fused = false;       // into the op before it: what it would move alone is not moved
  bool again = false;       // its forward is run once more in backward (train.recompute)
};

// Ranks, and how many of them a node has (the last node fewer).
struct Layout {
  std::int64_t ranks = 1, ranks_per_node = 1;
  std::int64_t nodes() const { return (ranks + ranks_per_node - 1) / ranks_per_node; }
};
comm::Topology topology_of(const Layout& layout, int position = 0);

struct JobData {
  double samples = 0;        // of the training split
  double stored_bytes = 0;   // of a sample, as it is read from files
  double decoded_bytes = 0;  // as the program takes it
  std::string filters;       // "", "gzip", ...: what decodes it
  double total_bytes = 0;    // of the split, as stored
  double values = 0;         // numbers of a sample: what least squares would take
};

struct Job {
  std::string name;  // the run file's
  std::string device, precision;
  std::vector<JobOp> ops;                 // forward order
  std::vector<parallel::Bucket> buckets;  // in the order in which backward completes them
  std::int64_t parameters = 0, flat_elements = 0;
  std::int64_t batch = 0, lanes = 1, accumulate = 1, microbatch = 1, threads = 1;
  std::string loss;           // "mse", "softmax_cross_entropy", ...
  std::int64_t outputs = 0;   // width of the last layer
  std::int64_t sequence = 0;  // tokens of a sample; 0: no text
  std::int64_t steps = 0, steps_per_epoch = 0;
  double evaluated = 0;  // samples that all evaluations of the run take
  parallel::Options parallel;
  optim::Options optimizer;
  JobData data;
  double checkpoint_bytes = 0;
  std::string checkpoint_every;
  double mtbf = 0;  // of a node, checkpoint.mtbf
  // Rows of the ledger of the position that needs most, on that many ranks and with that strategy.
  // Throws UserError where they do not go together (more ranks than lanes).
  std::function<std::vector<nn::LedgerRow>(const Layout&, const parallel::Options&)> memory;

  double flops() const;  // of a step: forward and backward of all lanes
  double bytes() const;  // moved at least, in a step
};

// Throws what a run would throw for the same run file and data. The run and what the manifest was
// read from need not outlive the job.
Job make_job(const train::Run& run, const std::string& name);
// The same with more lanes of the same microbatch: the batch grows.
Job with_lanes(const Job& job, std::int64_t lanes);

}  // namespace lockstep::plan
