// What the host adds of a fold in all its stages, whoever ran the lanes: this rank's part of the
// node's sources, the shard that it owns, and the squares of what came back.
#pragma once
#include <vector>

#include "fold_engine.h"
#include "host_parts.h"
#include "host_shards.h"
#include "lockstep/core/clock.h"
#include "lockstep/core/events.h"

namespace lockstep::comm {

class HostStages {
 public:
  // program: of the node's sources, as HostParts has it.
  HostStages(FoldContext& context, const TileProgram& program, const FoldArithmetic& arithmetic)
      : tiles_(context.plan.tile_bytes),
        parts_(context, program, arithmetic, first_tile()),
        shards_(context, arithmetic, first_tile()) {}

  std::vector<const float*>& sources() { return parts_.sources(); }
  void run(Stage stage, int b) {
    const events::Span span(events::Kind::kFold, name_of(stage), {.number = b});
    const ScopedTimer timer(seconds_);
    if (stage == Stage::kPart) {
      parts_.fold(b);
    } else if (stage == Stage::kShard) {
      shards_.fold(b);
    } else {
      shards_.sum_returned(b);
    }
  }
  double seconds() const { return seconds_; }

 private:
  static const char* name_of(Stage stage) {
    if (stage == Stage::kPart) return "adding this node's part of bucket";
    return stage == Stage::kShard ? "adding the nodes' parts of bucket" : "squares of bucket";
  }
  float* first_tile() const { return reinterpret_cast<float*>(tiles_.data()); }

  Pages tiles_;
  HostParts parts_;
  HostShards shards_;
  double seconds_ = 0;
};

// Elements between two slots of this rank.
inline std::int64_t slot_floats(const FoldContext& context) {
  return static_cast<std::int64_t>(context.plan.windows[context.local].slot_bytes / sizeof(float));
}

}  // namespace lockstep::comm
