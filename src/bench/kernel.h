// Kernels to verify and to time: what each computes and moves, how it is run, and whether its
// results are those of a naive form in double.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/ceilings.h"
#include "lockstep/bench/bench.h"
#include "lockstep/ops/op.h"

namespace lockstep::bench {

struct Kernel {
  std::string name;
  ops::Precision precision = ops::Precision::kFp32;  // of its flops
  double flops = 0, bytes = 0;                       // of a call; bytes: at least
  std::function<void()> run;
  std::function<void()> settle;        // waits for the device
  std::function<std::string()> check;  // runs it once: "", or what is wrong
};

// A few kernels with their memory, which lasts as long as they do.
struct Subject {
  std::string group, name;
  std::function<std::vector<Kernel>(Device& device)> make;
};

std::vector<Subject> product_subjects(const Device& device);  // gemm, convolution
std::vector<Subject> attention_subjects(const Device& device);
std::vector<Subject> row_subjects();   // norm, elementwise, embedding, loss
std::vector<Subject> flat_subjects();  // update, fold

// The kernels of a linear layer and a convolution, computed by `op`.
std::vector<Kernel> linear_kernels(Device& device, const ops::Linear& d,
                                   std::unique_ptr<ops::Op> op);
std::vector<Kernel> convolution_kernels(Device& device, const ops::Convolution& d,
                                        std::unique_ptr<ops::Op> op);

// Whether a row is wanted: nothing is asked for, its group is, or what "GROUP NAME" begins with.
bool wanted(const std::vector<std::string>& only, const std::string& group,
            const std::string& name);

// Collective: verified and timed by all ranks at once, the slowest counts.
std::vector<Row> measure_kernels(comm::Communicator& communicator, Device& device,
                                 const Ceilings& ceilings, const std::vector<Subject>& subjects,
                                 const Request& request);

}  // namespace lockstep::bench
