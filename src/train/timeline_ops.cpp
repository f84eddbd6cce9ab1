#include "train/timeline_ops.h"

#include <nlohmann/json.hpp>

#include "lockstep/core/error.h"

namespace lockstep::train {

using Json = nlohmann::json;

std::string ops_note(const nn::Program& program, std::int64_t accumulate,
                     const std::string& device) {
  Json ops = Json::array();
  const std::vector<nn::OpRow> rows = program.rows();  // all but a loss of its own
  for (const nn::OpCost& op : program.op_costs()) {
    if (op.fused) continue;  // within the one before it
    const std::string kind = ops.size() < rows.size() ? rows[ops.size()].kind : op.kind;
    ops.push_back({op.layer.empty() ? "loss" : op.layer, kind, op.cost.forward_flops,
                   op.cost.backward_flops, op.cost.forward_bytes, op.cost.backward_bytes});
  }
  return Json{{"ops", ops}, {"accumulate", accumulate}, {"device", device}}.dump();
}

TimelineOps::TimelineOps(const std::string& note) {
  const Json json = Json::parse(note, nullptr, false);
  if (!json.is_object()) return;
  try {
    accumulate_ = std::max<std::int64_t>(1, json.at("accumulate"));
    for (const Json& op : json.at("ops"))
      ops_.push_back({op.at(0), op.at(1), {op.at(2), op.at(3)}, {op.at(4), op.at(5)}});
  } catch (const Json::exception&) {
    ops_.clear();
  }
}

const TimelineOps::Op* TimelineOps::op_of(const events::Record& r) const {
  const auto i = static_cast<std::size_t>(r.number);
  return i < ops_.size() ? &ops_[i] : nullptr;
}

std::string TimelineOps::name(const events::Record& r) const {
  const Op* const op = op_of(r);
  return op == nullptr ? fmt::format("op {}", r.number) : op->layer;
}

std::string TimelineOps::args(const events::Ring& ring, const events::Record& r) const {
  const std::string direction = ring.text(r);
  const auto slice = static_cast<std::uint32_t>(r.bytes >> 32);
  const auto slices = std::max(1U, static_cast<std::uint32_t>(r.bytes));
  std::string text = fmt::format(R"(,"direction":"{}")", direction);
  if (r.peer >= 0) {
    text += fmt::format(R"(,"lane":{})", r.peer / accumulate_);
    if (accumulate_ > 1) text += fmt::format(R"(,"micro":{})", r.peer % accumulate_);
  }
  if (slices > 1) text += fmt::format(R"(,"slice":{},"slices":{})", slice, slices);
  const Op* const op = op_of(r);
  if (op == nullptr) return text;
  text += fmt::format(R"(,"op":"{}")", op->kind);
  // A gather and a finish do a part of what the slices are charged with.
  const auto add = [&](int way, double parts) {
    text += fmt::format(R"(,"flops":{:.0f},"bytes":{:.0f})", op->flops[way] / parts,
                        op->bytes[way] / parts);
  };
  if (direction == "forward" || direction == "forward again") add(0, slices);
  if (direction == "backward") add(1, slices);
  if (direction == "loss")
    text += fmt::format(R"(,"flops":{:.0f},"bytes":{:.0f})", op->flops[0] + op->flops[1],
                        op->bytes[0] + op->bytes[1]);
  return text;
}

}  // namespace lockstep::train
