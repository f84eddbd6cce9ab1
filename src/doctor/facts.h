// What a rank sees of its machine, gathered by all; judging it is judge.h's. Plain bytes, to be
// sent.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/doctor/doctor.h"

namespace lockstep::doctor {

struct Text {  // short, with an end
  char chars[120] = {};
  void set(const std::string& text);
  std::string get() const { return chars; }
};

struct FileTimes {
  std::int32_t error = 0;      // errno of what failed; 0: nothing did
  bool write_failed = false;   // or could not make the file
  bool sees_others = true;     // files of rank 0 can be seen from here
  double write = 0, read = 0;  // bytes per second, while all ranks do the same
  double sync = 0;             // seconds of one fsync after a small write
  std::uint64_t free = 0;      // bytes of the file system
  Text kind;                   // "ext4", "lustre", "nfs", or its number
};

struct Gpus {
  std::int32_t devices = 0, pairs_without_peers = 0;
  Text names, problem;  // "2 x NVIDIA H100"; why there are none
};

struct RankFacts {
  static constexpr int kWords = 16;
  std::int32_t rank = 0, node = 0, threads = 1;
  Text host, cpu, isa, build;
  std::uint64_t cores[kWords] = {};  // bit i: may run on core i
  std::int32_t online = 0;           // cores of the machine
  double flops = 0;                  // of one core, while all ranks compute
  double clock = 0;                  // seconds since 1970, just after a barrier
  std::uint64_t shm_bytes = 0, shm_free = 0;
  std::uint64_t memory = 0;
  Text memory_source;
  std::uint64_t filters = 0;    // bit i: filter i of known_filters() can be read
  std::int32_t data_error = 0;  // errno of opening Request::data
  FileTimes files;
  Gpus gpus;
};

// Collective; a second or two. By rank.
std::vector<RankFacts> gather_facts(comm::Communicator& communicator, const Request& request);

// Parts of it.
FileTimes time_files(comm::Communicator& communicator, const std::string& folder);
Gpus look_at_gpus();

}  // namespace lockstep::doctor
