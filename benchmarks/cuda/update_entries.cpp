// Optimizers over the flat buffer of GPT-2 124M.
#include <algorithm>

#include "entry.h"
#include "kernels/update.h"
#include "memory.h"

namespace lockstep::bench {
namespace {

struct UpdateMemory {
  UpdateMemory(Device& device, std::int64_t n) : table(make_table(n)) {
    const std::int64_t flat = table.flat_elements();
    p = random_array(device, flat, 1), g = random_array(device, flat, 2);
    expected = random_array(device, flat, 1);
    m = Array<float>(device, flat), v = Array<float>(device, flat);
    const auto entries = kernels::parameter_entries(table);
    blocks = Array<Block>(device, static_cast<std::int64_t>(table.blocks().size()));
    blocks.upload(table.blocks());
    parameters = Array<kernels::ParameterEntry>(device, static_cast<std::int64_t>(entries.size()));
    parameters.upload(entries);
    std::vector<const float*> at;
    for (const Block& b : table.blocks()) at.push_back(g.data() + b.begin);
    gradients = Array<const float*>(device, static_cast<std::int64_t>(at.size()));
    gradients.upload(at);
    args.table = {blocks.data(), parameters.data(), table.size()};
    args.range = {0, static_cast<int>(at.size())};
    args.parameters = p.data();
    args.gradients = gradients.data();
  }
  static ParameterTable make_table(std::int64_t n) {
    ParameterTable table;
    for (std::int64_t left = n, part = 0; left > 0; left -= part) {
      part = std::min<std::int64_t>(left, 768 * 3072);
      table.add("w" + std::to_string(table.size()), Shape{part}, ParameterKind::kWeight,
                Init::kZeros);
    }
    return table;
  }
  ParameterTable table;
  Array<float> p, g, expected, m, v;
  Array<Block> blocks;
  Array<kernels::ParameterEntry> parameters;
  Array<const float*> gradients;
  kernels::UpdateArgs args;
};

Entry adamw(std::int64_t n, const std::string& shape) {
  Entry e{"AdamW", shape};
  e.bytes = 28.0 * n, e.flops = 14.0 * n;
  e.build = [=](Device& device) {
    const UpdateMemory u(device, n);
    const kernels::AdamRule rule{1e-3, 0.9, 0.999, 1e-8, 0.1, 0.1, 0.001, true};
    Running r;
    r.run = [u, rule](cudaStream_t stream) {
      kernels::adam(u.args, rule, u.m.data(), u.v.data(), stream);
    };
    r.error = [u, rule, &device](cudaStream_t stream) {
      const Array<float> m(device, u.m.size()), v(device, u.m.size());
      kernels::UpdateArgs reference = u.args;
      reference.parameters = u.expected.data();
      kernels::adam(u.args, rule, u.m.data(), u.v.data(), stream);
      kernels::adam_reference(reference, rule, m.data(), v.data(), stream);
      cudaStreamSynchronize(stream);
      return deviation(u.p, u.expected);
    };
    r.allowed = 0;
    return r;
  };
  return e;
}

}  // namespace

std::vector<Entry> update_entries(bool tiny) {
  return {adamw(tiny ? 5000 : 124439808, tiny ? "5000" : "124.4 M parameters")};
}

}  // namespace lockstep::bench
