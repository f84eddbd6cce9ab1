#!/usr/bin/python3
"""make_runs.py FOLDER: folders as runs leave them, for tests of `lockstep report`.

one, two, four: a series on as many ranks; skipped: with a rollback, a restart and a hostile name;
long: 40,000 windows with spikes; old: metrics.jsonl alone; weak: other batches, too.
"""
import json
import math
import pathlib
import random
import sys

PHASES = ("compute", "fold", "exposed", "hidden", "data", "other")


def run_text(batch=128):
    return ('[data]\npath = "a & b <i>.h5"\n\n[model]\npreset = "mlp"\n\n[[model.layers]]\nkind = "conv"\n\n'
            f'[train]\nbatch = {batch}\nlanes = 8\n\n[checkpoint]\ndir = "runs/x"\n')


def write(folder, ranks, steps=1684, window=50, name=None, batch=128, events=(), planned=True, ended="done"):
    folder.mkdir(parents=True)
    draw = random.Random(ranks)
    rate = 7000 * ranks ** 0.9 * batch / 128
    lines, profile, at = [], [], 0.0
    for step in range(window, steps + 1, window):
        at += window * batch / rate
        spike = 3 if draw.random() < 0.0005 else 0
        loss = 0.2 + 2 * math.exp(-step / (0.2 * steps)) * (1 + 0.02 * draw.random()) + spike
        lines.append({"step": step, "epoch": 1 + 4 * step // (steps + 1), "loss": loss,
                      "accuracy": 1 - loss / 3, "lr": 2e-3 * (1 - step / (steps + 1)),
                      "gradient_norm": 1 + draw.random(),
                      "time": {"seconds": round(at, 3), "samples_per_second": round(rate * draw.uniform(0.95, 1.05), 1)}})
        if step % (8 * window) == 0:
            lines.append({"step": step, "epoch": 1, "split": "val", "loss": loss + 0.05, "accuracy": 0.9,
                          "best": True, "time": {"seconds": round(at, 3), "samples_per_second": 0.0}})
        phases = {p: [] for p in PHASES}
        for rank in range(ranks):
            whole = window * batch / rate
            waits = whole * 0.1 * (rank + 1) / ranks
            parts = {"data": 0.01 * whole, "fold": 0.06 * whole, "exposed": waits, "hidden": 0.3 * waits,
                     "other": 0.2 * whole if step % (8 * window) == 0 else 0.001 * whole}
            parts["compute"] = whole - parts["data"] - parts["fold"] - waits
            for p in PHASES:
                phases[p].append(parts[p])
        profile.append({"step": step, "steps": window, "seconds": window * batch / rate, "at": at,
                        "positions": list(range(ranks)), "phases": phases,
                        "bytes": {"memory": [int(2e8 + 1e5 * math.log(step))] * ranks}})
    for event in events:
        lines.append(dict(event, time={"seconds": round(event["step"] * batch / rate, 3), "samples_per_second": rate}))
    lines.sort(key=lambda line: line["step"])
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if steps <= 10000:
        (folder / "profile.jsonl").write_text("".join(json.dumps(line) + "\n" for line in profile))
    record = {"name": name or folder.name, "simulated": False, "version": "0.1.0 (abc)",
              "started": "2026-11-22T20:00:00Z", "ended": "", "ending": ended, "ranks": ranks,
              "nodes": 1, "threads": 1, "hosts": ["n1"] * ranks, "batch": batch, "lanes": 8, "steps": steps,
              "steps_per_epoch": 421, "sequence": 0, "parameters": 421642, "step_flops": 128 * 2.9e7,
              "digest": "77aa5db52b1a4b4b8d2f1f0e0d0c0b0a", "digest_step": steps,
              "peak_memory": [213909504 + 4096 * r for r in range(ranks)],
              "ledger": [{"name": "parameters", "bytes": 1690000, "note": "421.6 k fp32"},
                         {"name": "optimizer state", "bytes": 3380000, "note": ""},
                         {"name": "activations", "bytes": 52428800, "note": ""},
                         {"name": "program and libraries", "bytes": 92428800, "note": ""}],
              "settings": [["data", "a & b <i>.h5"], ["loss", "softmax_cross_entropy"]],
              "environment": [["cpu", "Zen"], ["mpi", "Open MPI 4.1.4"]], "run": run_text(batch)}
    (folder / "run.json").write_text(json.dumps(record))
    if planned:
        step = batch / rate
        (folder / "plan.json").write_text(json.dumps(
            {"machine": "this", "step": {"compute": 0.85 * step, "fold": 0.05 * step, "exposed": 0.06 * step, "data": 0},
             "step_seconds": 0.96 * step, "samples_per_second": rate / 0.96, "seconds": steps * step,
             "rank_memory": 2.1e8, "node_memory": 2.1e8 * ranks}))
    attempt = {"started": 1764000000.0, "updated": 1764000000.0 + at, "ended": "done", "hosts": ["n1"], "ranks": ranks,
               "threads": 1, "marks": [[0, 0.0], [steps, at]], "lost_steps": 0,
               "seconds": {"start": 1.0, "compute": 0.8 * at, "folding": 0.06 * at, "waiting_for_data": 0.01 * at,
                           "waiting_for_ranks": 0.1 * at, "saving": 0.02 * at, "other": 0.01 * at},
               "cores": {"asked": ranks, "cpu_seconds": at, "wall_seconds": at}, "peak_memory_bytes": [213909504] * ranks,
               "bytes": {"loaded": 1, "in_messages": 1, "read_from_peers": 1}}
    first = dict(attempt, ended="killed", updated=1764000000.0 + at / 3, marks=[[0, 0.0], [steps // 3, at / 3]])
    second = dict(attempt, started=1764000010.0 + at / 3, updated=1764000020.0 + at, marks=[[steps // 3, 0.0], [steps, at]])
    (folder / "usage.json").write_text(json.dumps({"attempts": [first, second] if events else [attempt]}))


def main():
    top = pathlib.Path(sys.argv[1])
    for ranks, name in ((1, "one"), (2, "two"), (4, "four")):
        write(top / name, ranks)
    write(top / "weak", 2, batch=256)
    hostile = "<script>alert(1)</script> & \"quoted\""
    write(top / hostile.replace("/", "_"), 3, name=hostile, ended="", events=(
        {"step": 400, "event": "spike", "why": "loss 3.1 <b>above</b> the median"},
        {"step": 800, "event": "rollback", "why": "back to step 700", "rollback": 1}))
    write(top / "long", 1, steps=2000000, window=50, planned=False)
    write(top / "old", 1)
    for name in ("run.json", "profile.jsonl", "usage.json", "plan.json"):
        (top / "old" / name).unlink()


main()
