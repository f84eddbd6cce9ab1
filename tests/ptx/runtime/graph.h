// Captured work: what runs after what.
#pragma once
#include <driver_types.h>

#include <memory>
#include <vector>

#include "tests/ptx/runtime/event.h"
#include "tests/ptx/runtime/schedule.h"

namespace lockstep::emulation {

struct Stream;

struct Node {
  cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
  std::shared_ptr<const Work> work;
  std::shared_ptr<Event> event;  // recorded or waited for at each launch
  std::vector<int> after;        // nodes of smaller number
};

struct Graph {
  std::vector<Node> nodes;
  int add(Node node) {
    nodes.push_back(std::move(node));
    return static_cast<int>(nodes.size()) - 1;
  }
  std::vector<int> leaves() const;
};

struct Executable {
  std::shared_ptr<const Graph> graph;
  TaskPtr last;  // launches of one executable run one after the other
};

// Gives all nodes to the device, after what was given to the stream, or makes them part of the
// graph that the stream captures.
cudaError_t launch(Executable& executable, Stream& stream);

}  // namespace lockstep::emulation
