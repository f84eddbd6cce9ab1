// A machine as the plan sees it: what its devices compute, what lies between its ranks, what its
// files give, how often something breaks. Plain figures, each with its source; knows no model.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace lockstep::plan {

// How fast a kernel runs at one size. What `size` and the rates mean is the kernel's (cost.h).
struct KernelRate {
  std::string kernel;        // an op's kind ("linear", "convolution", ...), "update", "fold", ...
  std::string precision;     // "fp32", "bf16"
  std::vector<double> size;  // empty: of any size
  double forward = 0, backward = 0;  // per second: flop, or bytes of a kernel without flops
};

// What a rank keeps of its rates while this many ranks of its node work at once.
struct Contention {
  std::int64_t ranks = 1;
  double compute = 1, memory = 1;  // 0 to 1
};

struct Device {
  std::string name, kind;       // kind: "cpu" (of one rank's threads), "cuda"
  std::int64_t per_node = 0;    // devices, or cores, of a node
  std::int64_t threads = 1;     // that the rates were measured with (cpu)
  double memory = 0;            // bytes of one device; of the cpu: of the node
  double fp32 = 0, bf16 = 0;    // flop/s at most, by precision
  double memory_bandwidth = 0;  // bytes/s
  double overhead = 0;          // seconds that an op costs besides: a launch, a call
  std::vector<KernelRate> rates;
  std::vector<Contention> contention;  // by ranks, ascending; none: they do not disturb each other
};

// What lies between ranks: within a node, then between nodes, outwards. LogGP (Alexandrov et al.
// 1995): a message of b bytes takes latency + 2 overhead + b / bandwidth, and the next one of the
// same rank may follow after max(gap, b / bandwidth).
struct Level {
  std::string name;           // "node", "rack", "network"
  std::int64_t members = 0;   // units of the level below (ranks, nodes) that one unit has; 0: all
  double latency = 0;         // seconds, without the overheads
  double overhead = 0;        // seconds of the processor at each end
  double gap = 0;             // seconds between messages of one rank
  double bandwidth = 0;       // bytes/s of one rank alone, one direction
  double unit_bandwidth = 0;  // bytes/s of all that leaves a unit (a node's adapters); 0: no limit
  double flag = 0;            // seconds until a flag in shared memory is seen; 0: none is shared
};

struct Files {
  double read = 0, write = 0;              // bytes/s of one node
  double total_read = 0, total_write = 0;  // of all nodes together; 0: no limit
  double latency = 0;                      // seconds to open a file
};

struct Reliability {
  double node_mtbf = 0;         // seconds between failures of one node; 0: none fails
  double restart = 0;           // seconds from a failure to the first step after it
  double straggler_chance = 0;  // of a rank, in a step
  double straggler_factor = 1;  // what its work takes then
  double jitter = 0;            // standard deviation of a rank's step, as a part of it
};

struct Machine {
  std::string name;
  Device device;
  std::vector<Level> levels;
  Files files;
  Reliability reliability;
  // "device.fp32", "device.rates.linear", "levels.network.latency" -> where the figure is from:
  // "measured by lockstep bench calibrate, 2026-11-22 on n3", or a title with its address. A
  // table's name ("files") stands for all its figures that are not named.
  std::map<std::string, std::string> sources;
};

// A device's file, then its interconnect's, then one's own. A device with a name takes the place of
// the whole device, one without changes the keys that it has; a level takes the place of that of
// its name; of files and reliability the keys that `over` has count. A replaced figure's source
// goes with it.
Machine merged(const Machine& base, const Machine& over);
// Throws UserError naming the file's key of what predict() needs and the machine has not: a
// device's peak and memory bandwidth, and of each level latency and bandwidth. One rank needs no
// level.
void check_complete(const Machine& machine, const std::string& name);
// As a machine file, which config::read_machine() reads again.
std::string machine_toml(const Machine& machine);

}  // namespace lockstep::plan
