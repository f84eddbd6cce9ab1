#include "tests/ptx/runtime/graph.h"

#include "tests/ptx/runtime/stream.h"

namespace lockstep::emulation {
namespace {

// A graph launched into a capture becomes part of it.
void insert(const Graph& graph, Stream& stream) {
  Graph& whole = *stream.capture->graph;
  const int first = static_cast<int>(whole.nodes.size());
  for (Node node : graph.nodes) {
    for (int& each : node.after) each += first;
    if (node.after.empty()) node.after = stream.tails;
    whole.add(std::move(node));
  }
  stream.tails = graph.leaves();
  for (int& each : stream.tails) each += first;
}

TaskPtr task_of(const Node& node, int device, std::vector<TaskPtr>& after) {
  auto task = std::make_shared<Task>();
  task->device = device;
  task->work = node.work;
  if (node.type == cudaGraphNodeTypeWaitEvent) wait_for(*node.event, *task, after);
  if (node.type == cudaGraphNodeTypeEventRecord) record_at(*node.event, task);
  return task;
}

}  // namespace

std::vector<int> Graph::leaves() const {
  std::vector<bool> followed(nodes.size());
  for (const Node& node : nodes)
    for (int each : node.after) followed[each] = true;
  std::vector<int> result;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    if (!followed[i]) result.push_back(static_cast<int>(i));
  return result;
}

cudaError_t launch(Executable& executable, Stream& stream) {
  const Graph& graph = *executable.graph;
  if (stream.capture) {
    if (graph.nodes.empty()) return cudaSuccess;
    insert(graph, stream);
    return cudaSuccess;
  }
  std::vector<TaskPtr> before = before_next(stream);
  before.push_back(executable.last);
  auto start = std::make_shared<Task>();
  start->device = stream.device;
  submit(start, before);

  std::vector<TaskPtr> tasks;
  std::vector<TaskPtr> after;
  for (const Node& node : graph.nodes) {
    after.clear();
    for (int each : node.after) after.push_back(tasks[each]);
    if (after.empty()) after.push_back(start);
    TaskPtr task = task_of(node, stream.device, after);
    tasks.push_back(submit(std::move(task), after));
  }
  after.clear();
  for (int leaf : graph.leaves()) after.push_back(tasks[leaf]);
  after.push_back(start);
  executable.last = give_task(stream, std::make_shared<Task>(), after);
  return cudaSuccess;
}

}  // namespace lockstep::emulation
