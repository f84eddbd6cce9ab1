"""check_trace.py TRACE RANKS: a timeline in trace event format: all ranks are there, spans of a thread
nest, times ascend. Prints for each rank the names of the spans that had not ended, from the outside in."""
import json
import sys


def check(path, ranks):
    events = json.load(open(path))["traceEvents"]
    spans = [e for e in events if e["ph"] == "X"]
    assert {e["pid"] for e in spans} == set(range(ranks)), "ranks"
    assert {e["pid"] for e in events if e["name"] == "process_name"} == set(range(ranks)), "process names"
    threads = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    for thread in {(e["pid"], e["tid"]) for e in spans}:
        assert thread in threads, f"no name for {thread}"
        stack, last = [], 0.0
        for e in [e for e in spans if (e["pid"], e["tid"]) == thread]:
            begin, end = e["ts"], e["ts"] + e["dur"]
            assert begin >= last and e["dur"] >= 0, f"{e} is out of order"
            last = begin
            while stack and stack[-1] <= begin + 1e-6:
                stack.pop()
            assert not stack or end <= stack[-1] + 2e-3, f"{e} ends after what it lies in"
            stack.append(end)
    for rank in range(ranks):
        going_on = [e for e in spans if e["pid"] == rank and e["tid"] == 0 and "ended" in e["args"]]
        print(rank, " > ".join(f"{e['name']} @{e['args']['step']}" for e in going_on))


check(sys.argv[1], int(sys.argv[2]))
