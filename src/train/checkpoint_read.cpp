#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/core/units.h"
#include "lockstep/train/checkpoint.h"
#include "train/checkpoint_blocks.h"
#include "train/checkpoint_data.h"
#include "train/checkpoint_index.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

CheckpointIndex shared_index(comm::Communicator& communicator, const fs::path& file) {
  std::string packed;
  communicator.together([&] {
    if (communicator.rank() == 0) packed = pack(read_index(file));
  });
  return unpack(comm::broadcast_text(communicator, std::move(packed)));
}

std::string named(const ParameterTable& table, int i) {
  return i < table.size() ? table[i].name + " " + table[i].shape.text() : "absent";
}

void refuse_other_model(const CheckpointIndex& index, const State& state, ReadScope scope) {
  const ParameterTable &theirs = index.table, &ours = *state.table;
  for (int i = 0; i < std::max(theirs.size(), ours.size()); ++i) {
    if (i < theirs.size() && i < ours.size() && theirs[i].name == ours[i].name &&
        theirs[i].shape == ours[i].shape) {
      continue;
    }
    throw UserError(
        "{} is of another model: parameter {} is {} there and {} in this run; use the run file "
        "that "
        "it was made with (the checkpoint holds it), or another checkpoint.dir",
        index.file.string(), i + 1, named(theirs, i), named(ours, i));
  }
  for (const FlatTensor& tensor : state.tensors) {
    if (std::ranges::find(index.tensors, tensor.name) != index.tensors.end()) continue;
    throw UserError(
        "{} has no {}, which this run needs; use the run file that it was made with (is "
        "optimizer.kind the same?)",
        index.file.string(), tensor.name);
  }
  if (scope == ReadScope::kListed) return;
  for (const std::string& name : index.tensors) {
    if (std::ranges::find(state.tensors, name, &FlatTensor::name) != state.tensors.end()) continue;
    throw UserError(
        "{} holds {}, which this run has no use for; use the run file that it was made "
        "with (is optimizer.kind the same?)",
        index.file.string(), name);
  }
}

// "optimizer/m along data, optimizer/v along data (data 4)".
std::string cut_text(const CheckpointIndex& index) {
  if (index.cut.empty()) return "nothing: every rank that had a tensor had all of it";
  std::vector<std::string> cuts;
  for (const auto& [tensor, axis] : index.cut)
    cuts.push_back(fmt::format("{} along {}", tensor, axis));
  return fmt::format("{} ({})", fmt::join(cuts, ", "), comm::Mesh(index.mesh).text());
}

// Of what all hold; where a tensor has holders nobody ever writes the padding.
void zero_padding(const State& state) {
  for (const FlatTensor& tensor : state.tensors) {
    if (tensor.holders != nullptr) continue;
    for (const Parameter& p : state.table->parameters()) {
      const std::int64_t end = p.offset + (p.elements + kGranule - 1) / kGranule * kGranule;
      std::fill(tensor.data + p.offset + p.elements, tensor.data + end, 0.0f);
    }
  }
}

void read_shares(const CheckpointIndex& index, const State& state,
                 const std::vector<BlockRange>& shares) {
  const CheckpointData file(index);
  for (const BlockSpan& s : spans_of(*state.table, shares)) {
    const FlatTensor& tensor = state.tensors[s.tensor];
    const auto stored = std::ranges::find(index.tensors, tensor.name) - index.tensors.begin();
    file.read(static_cast<int>(stored), s.first_block, s.end_block, tensor.data + s.begin);
  }
}

// What all hold, each has read a share of. A share is contiguous in the flat buffer (padding is
// zero on both sides), so that few broadcasts hand all to all.
void spread(comm::Communicator& communicator, const State& state) {
  const comm::Topology& topology = communicator.topology();
  const std::vector<Block>& blocks = state.table->blocks();
  for (const FlatTensor& tensor : state.tensors) {
    if (tensor.holders != nullptr) continue;
    for (int p = 0; p < topology.ranks(); ++p) {
      const BlockRange share =
          share_of(static_cast<std::int64_t>(blocks.size()), p, topology.ranks());
      if (share.begin == share.end) continue;
      const std::int64_t begin = blocks[share.begin].begin;
      const Block& last = blocks[share.end - 1];
      const std::span<float> values(tensor.data + begin,
                                    static_cast<std::size_t>(last.begin + last.elements - begin));
      communicator.broadcast(std::as_writable_bytes(values), topology.rank_at[p]);
    }
  }
}

}  // namespace

void read_checkpoint(comm::Communicator& communicator, const fs::path& file, State& state,
                     ReadScope scope) {
  communicator.set_activity("reading a checkpoint", 0);
  const CheckpointIndex index = shared_index(communicator, file);
  const comm::Topology& topology = communicator.topology();
  communicator.together([&] {
    refuse_other_model(index, state, scope);
    zero_padding(state);
    read_shares(index, state, shares_of(state, topology.position, topology.ranks()));
  });
  spread(communicator, state);
  state.progress = index.progress;
}

CheckpointText read_checkpoint_text(const fs::path& file) { return read_index(file).text; }

void check_checkpoint(const fs::path& file) {
  const CheckpointIndex index = read_index(file);
  const CheckpointData data(index);
  std::vector<float> block(kBlock);
  for (std::size_t t = 0; t < index.tensors.size(); ++t) {
    for (int b = 0; b < static_cast<int>(index.table.blocks().size()); ++b) {
      data.read(static_cast<int>(t), b, b + 1, block.data());
    }
  }
}

std::string checkpoint_inspect_text(const fs::path& file) {
  const CheckpointIndex index = read_index(file);
  std::string text =
      fmt::format("checkpoint {}\ndigest     {}\n", file.string(), index.digest.text());
  text += "tensors    ";
  for (const std::string& name : index.tensors) text += name + " ";
  text += fmt::format("({} in all)\n", bytes_text(static_cast<double>(index.data_bytes())));
  text += fmt::format("cut        {}\n\nprogress\n", cut_text(index));
  for (const auto& [name, value] : index.progress.integers) {
    text += fmt::format("  {:<28} {}\n", name, value);
  }
  for (const auto& [name, value] : index.progress.reals) {
    text += fmt::format("  {:<28} {}\n", name, value);
  }
  text += "\nparameters\n";
  for (const Parameter& p : index.table.parameters()) {
    text += fmt::format("  {:<28} {:<16} {:>12}\n", p.name, p.shape.text(), p.elements);
  }
  return text;
}

}  // namespace lockstep::train
