// Parameters that a program holds for one sweep at a time, for all streams that run it.
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "nn/program_impl.h"

namespace lockstep::nn {

void Program::Impl::bind(ParameterSource& from) {
  LOCKSTEP_CHECK(options.held, "a source of parameters, and all of them are there");
  bind(nullptr);
  source = &from;
  addresses.resize(uses.most_parameters);
}

// Held and packed on stream 0, which the other streams wait for.
void Program::Impl::hold(int use, std::span<const Pass> passes) {
  Stream& first = *streams[0].stream;
  source->hold(use, addresses.data(), first);
  for (const UseReader& reader : uses.readers[use]) {
    for (const Pass& pass : passes) point(streams[pass.stream], reader, addresses.data());
    if (reader.packs) pack_for(reader, first);
  }
  bool others = false;
  for (const Pass& pass : passes) others = others || pass.stream > 0;
  if (!others) return;
  updated->record(first);
  for (const Pass& pass : passes) {
    if (pass.stream > 0) updated->wait(*streams[pass.stream].stream);
  }
}

// Stream 0 waits for what the others read. Addresses become null, so that no later sweep can read
// what it did not ask for.
void Program::Impl::release(int use, std::span<const Pass> passes) {
  for (const Pass& pass : passes) {
    StreamState& s = streams[pass.stream];
    for (const UseReader& reader : uses.readers[use]) point(s, reader, nullptr);
    if (pass.stream == 0) continue;
    s.has_read->record(*s.stream);
    s.has_read->wait(*streams[0].stream);
  }
  source->release(use, *streams[0].stream);
}

void Program::Impl::point(StreamState& s, const UseReader& reader, const float* const* at) const {
  const auto set = [at](std::vector<const float*>& to, const std::vector<int>& places) {
    for (std::size_t k = 0; k < places.size(); ++k) to[k] = at == nullptr ? nullptr : at[places[k]];
  };
  if (reader.op == static_cast<int>(head())) {
    set(s.head.parameters, reader.parameters);
  } else {
    set(s.ops[reader.op].parameters, reader.parameters);
    set(s.ops[reader.op].statistics, reader.statistics);
  }
}

// Written anew for each use, where the use before had its own.
void Program::Impl::pack_for(const UseReader& reader, Stream& stream) {
  const events::Detail span(events::Kind::kUpdate, "packing weights");
  packed_offsets[reader.op] = reader.packed_at;
  std::byte* const to = packed.as<std::byte>() + reader.packed_at;
  const float* weight = addresses[reader.parameters.front()];
  if (reader.op == static_cast<int>(head())) {
    loss_head->pack(&weight, to, &stream);
  } else {
    ops[reader.op]->pack_for(reader.direction, &weight, to, &stream);
  }
}

}  // namespace lockstep::nn
