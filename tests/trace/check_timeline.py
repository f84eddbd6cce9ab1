"""check_timeline.py TRACE RANKS LANES STEPS LAST CHECK USAGE WITHIN: a timeline of a run on the cpu, one thread a rank.
Its form is that of the trace event format; the last STEPS steps up to LAST have every op of the table in CHECK (the
output of train --check) in every lane, once each way; what lies in the steps adds up to all but a part WITHIN of
them; and bytes of messages are those of USAGE (usage.json; "": not compared)."""
import collections
import json
import re
import sys



def fail(why):
    sys.exit(f"FAILED: {why}")


def check(holds, why):
    if not holds:
        fail(why)


def table_of_ops(path):
    """(layer, kind) of the rows of the table, in order."""
    rows, inside = [], False
    for line in open(path):
        words = line.split()
        if words[:2] == ["layer", "op"]:
            inside = True
        elif inside and len(words) >= 3 and words[0] not in ("total", "sum"):
            rows.append((words[0], words[1]))
        elif inside:
            break
    return rows


def check_form(events):
    for e in events:
        check(e["ph"] in "XiCMsf", f"an event of kind {e['ph']}")
        check(isinstance(e["pid"], int) and isinstance(e["tid"], int), f"pid and tid of {e}")
        check(isinstance(e["name"], str) and e["name"], f"name of {e}")
        if e["ph"] != "M":
            check(isinstance(e["ts"], (int, float)) and e["ts"] >= 0 and e["cat"], f"ts of {e}")
        check(e["ph"] != "X" or e["dur"] >= 0, f"dur of {e}")
        check(e["ph"] not in "sf" or e["id"], f"id of {e}")


class Node:
    def __init__(self, event):
        self.event, self.inside = event, []
        self.begin, self.end = event["ts"], event["ts"] + event["dur"]

    def own(self):
        return self.event["dur"] - sum(n.event["dur"] for n in self.inside)


def nested(spans):
    """Roots of the spans of a thread; whoever begins within another must end within it."""
    roots, stack, last = [], [], 0
    for e in spans:
        node = Node(e)
        check(node.begin >= last, f"{e} is out of order")
        last = node.begin
        while stack and stack[-1].end <= node.begin + 1e-6:
            stack.pop()
        if stack:
            check(node.end <= stack[-1].end + 2e-3, f"{e} ends after {stack[-1].event}, in which it lies")
        (stack[-1].inside if stack else roots).append(node)
        stack.append(node)
    return roots


def walk(node):
    yield node
    for n in node.inside:
        yield from walk(n)


# Spans that hold others: time of their own in which nothing else is seen is not accounted for.
HOLDERS = {"step", "forward", "backward"}


def check_sums(rank, steps, within):
    total = sum(s.event["dur"] for s in steps)
    by_kind = collections.Counter()
    for step in steps:
        for n in walk(step):
            by_kind[n.event["cat"]] += n.own()
    unseen = sum(by_kind[c] for c in HOLDERS)
    shares = "  ".join(f"{c} {100 * t / total:.1f} %" for c, t in by_kind.most_common() if c not in HOLDERS)
    print(f"rank {rank}: {len(steps)} steps, {total / 1e3:.1f} ms: {shares}  unseen {100 * unseen / total:.2f} %")
    check(unseen <= within * total, f"rank {rank}: {100 * unseen / total:.1f} % of the steps are in no span")


def check_ops(rank, steps, table, first, last, lanes_of_step):
    seen = set()
    for step in steps:
        at = step.event["args"]["step"]
        ops = [n for n in walk(step) if n.event["cat"] == "op" and "lane" in n.event["args"]]
        parts = collections.Counter()
        for n in ops:
            a = n.event["args"]
            check(a["step"] == at, f"an op of step {a['step']} within step {at}")
            parts[n.event["name"], a.get("op"), a["direction"], a["lane"]] += 1 / a.get("slices", 1)
        lanes = {a["args"]["lane"] for a in (n.event for n in ops)}
        check(lanes, f"rank {rank}: step {at} has no lanes")
        for lane in lanes:
            lanes_of_step[at].append(lane)
            got = [(layer, op) for (layer, op, way, of), count in parts.items()
                   if of == lane and way in ("forward", "loss") and abs(count - round(count)) < 1e-6]
            names = [pair for pair in got if pair[0] != "loss"]
            check(sorted(set(names)) == sorted(set(table)),
                  f"rank {rank}, step {at}, lane {lane}: ops {sorted(set(table) - set(names))} are missing, "
                  f"{sorted(set(names) - set(table))} are not in the table")
            for (layer, op, way, of), count in parts.items():
                if of == lane and way in ("forward", "backward", "forward again", "loss"):
                    times = table.count((layer, op)) or 1
                    check(abs(count - times) < 1e-6, f"step {at}, lane {lane}: {layer} {way} {count} of {times}")
            back = {pair[0] for pair in parts if pair[2] in ("backward", "loss") and pair[3] == lane}
            check(back, f"step {at}, lane {lane}: no backward")
        seen.add(at)
    check(seen == set(range(first, last + 1)), f"rank {rank}: steps {sorted(seen)}")


def check_flows(events):
    """Each arrow has both its ends, at the sender's and at the receiver's, and goes forward in time."""
    sent = {e["id"]: e for e in events if e["ph"] == "s"}
    here = {e["id"]: e for e in events if e["ph"] == "f"}
    check(len(sent) == sum(e["ph"] == "s" for e in events), "two messages have the same id")
    check(sent.keys() == here.keys(), f"arrows without an end: {sorted(sent.keys() ^ here.keys())[:3]}")
    for i, s in sent.items():
        f = here[i]
        check(f["args"]["peer"] == s["pid"] and s["args"]["peer"] == f["pid"], f"arrow {i} has other ends")
        check(f["args"]["bytes"] == s["args"]["bytes"], f"arrow {i} has other bytes")
        check(f["ts"] >= s["ts"], f"arrow {i} goes back in time")
    print(f"{len(sent)} arrows")


def main():
    trace, ranks, lanes, steps, last, check_file, usage, within = sys.argv[1:]
    ranks, lanes, steps, last = int(ranks), int(lanes), int(steps), int(last)
    whole = json.load(open(trace))
    events = whole["traceEvents"]
    check_form(events)
    check({e["pid"] for e in events} == set(range(ranks)), "ranks")
    table = table_of_ops(check_file)
    check(table, f"no table of ops in {check_file}")
    by_thread = collections.defaultdict(list)
    for e in events:
        if e["ph"] == "X":
            by_thread[e["pid"], e["tid"]].append(e)
    lanes_of_step = collections.defaultdict(list)
    for (rank, thread), spans in sorted(by_thread.items()):
        roots = nested(spans)
        if thread != 0:
            continue
        of_steps = [r for r in roots if r.event["name"] == "training step" and "ended" not in r.event["args"]]
        of_steps = [r for r in of_steps if last - steps < r.event["args"]["step"] <= last]
        check_sums(rank, of_steps, float(within))
        check_ops(rank, of_steps, table, last - steps + 1, last, lanes_of_step)
    for at, found in lanes_of_step.items():
        check(sorted(found) == list(range(lanes)), f"step {at} has lanes {sorted(found)}")
    if not usage:
        return
    check_flows(events)
    names = {e["name"] for e in events if e["ph"] == "C"}
    check(names == {"loss", "memory (bytes)", "samples per second"}, f"counters {names}")
    names = {e["name"] for e in by_thread[0, 0]} | {e["name"] for k, v in by_thread.items() for e in v if k[1]}
    for name in ("reading", "reading a window", "the update"):
        check(any(n.startswith(name) for n in names), f"no span '{name}'")
    attempt = json.load(open(usage))["attempts"][-1]["bytes"]
    total = collections.Counter()
    for e in events:
        if e["ph"] in "Xi" and e["cat"] == "message":
            total["in_messages"] += e["args"]["bytes"]
        if e["ph"] in "Xi" and e["name"].startswith("read from peers"):
            total["read_from_peers"] += e["args"].get("bytes", 0)
    for key in ("in_messages", "read_from_peers"):
        check(total[key] == attempt[key], f"{key}: {total[key]} bytes in the timeline, {attempt[key]} in {usage}")
        print(f"{key}: {total[key]} bytes")


main()
