// What of a run's data plane is timed: files, units, the loader.
#pragma once
#include "bench/rank_device.h"
#include "lockstep/bench/bench.h"
#include "lockstep/data/dataset.h"
#include "lockstep/train/run.h"

namespace lockstep::bench {

struct DataSubject {
  comm::Communicator& communicator;
  const Request& request;
  const train::Run& run;
  const data::Manifest& manifest;  // text not cut into sequences
  bool made = false;               // here: values are those of the file
};

// All collective. Bytes/s of all ranks' pread, which is measured whether its row is wanted or not.
double add_reading(const DataSubject& subject, Results& results);
void add_decoding(const DataSubject& subject, double raw, Results& results);
void add_loading(const DataSubject& subject, double raw, Results& results);

}  // namespace lockstep::bench
