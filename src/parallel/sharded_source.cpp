#include "parallel/sharded_source.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep::parallel {
namespace {

std::int64_t whole_granules(std::int64_t elements) {
  return (elements + kGranule - 1) / kGranule * kGranule;
}

}  // namespace

ShardedSource::ShardedSource(Device& device, const nn::Program& program, comm::SharedFlat& flat,
                             ShardedDevice& parameters)
    : device_(device),
      table_(program.table()),
      uses_(program.uses()),
      flat_(flat),
      parameters_(parameters),
      copies_(device.make_stream()),
      on_host_(table_.size()) {
  std::int64_t largest = 0;
  for (const nn::ParameterUse& use : uses_) {
    std::int64_t end = 0;
    std::vector<std::int64_t>& at = at_.emplace_back();
    for (const int p : use.parameters) {
      at.push_back(end);
      end += whole_granules(table_[p].elements);
    }
    largest = std::max(largest, end);
  }
  for (Place& place : places_) {
    place.memory =
        device.allocate(static_cast<std::size_t>(largest) * sizeof(float), "parameters in use");
    place.filled = device.make_event();
    place.read = device.make_event();
  }
}

// After an error nothing may be known of the copies.
ShardedSource::~ShardedSource() {
  try {
    copies_->synchronize();
    for (const Place& place : places_) place.read->synchronize();
  } catch (const Error&) {
  }
}

void ShardedSource::begin_pass(int uses) {
  LOCKSTEP_CHECK(gone_ == passing_, "a pass begins in another");
  passing_ = uses;
  gone_ = 0;
  flat_.begin_pass(uses);
}

// The node brings a use to where the one before the last was: that must be on the device by then.
void ShardedSource::hold(int use, const float** addresses, Stream& stream) {
  let_go(use - 1);
  flat_.hold(use, on_host_.data());
  place(use).read->wait(*copies_);
  copy_up(use);
  place(use).filled->record(*copies_);
  place(use).filled->wait(stream);
  for (std::size_t i = 0; i < at_[use].size(); ++i)
    addresses[i] = place(use).memory.as<float>() + at_[use][i];
}

// Parameters that follow each other, in the table as on the host, are one copy.
void ShardedSource::copy_up(int use) {
  const std::vector<int>& parameters = uses_[use].parameters;
  const std::vector<std::int64_t>& at = at_[use];
  auto* const to = place(use).memory.as<float>();
  for (std::size_t first = 0, last = 0; first < parameters.size(); first = ++last) {
    while (last + 1 < parameters.size() &&
           on_host_[last + 1] - on_host_[first] == at[last + 1] - at[first])
      ++last;
    const std::int64_t elements = at[last] + table_[parameters[last]].elements - at[first];
    device_.copy(to + at[first], on_host_[first],
                 static_cast<std::size_t>(elements) * sizeof(float), *copies_);
  }
}

void ShardedSource::release(int use, Stream& stream) {
  place(use).read->record(stream);
  if (use + 1 == passing_) let_go(passing_);
}

// Uses before `end`.
void ShardedSource::let_go(int end) {
  for (; gone_ < end; ++gone_) {
    parameters_.wait(*place(gone_).filled);
    flat_.release(gone_);
  }
}

}  // namespace lockstep::parallel
