#!/usr/bin/env python3
"""Computes anew what usage.json must say of a run that was killed after step 25 and resumed on other ranks
from the checkpoint of step 20 to its end at step 40. Steps' times come from metrics.jsonl (a line a step,
in seconds since the process's first step). Arguments: the folder, the seconds that a step takes at least
(a fault sleeps them), what `lockstep train` printed last, the file for Prometheus."""
import json
import re
import sys

import prometheus

folder, least, printed, gauges = sys.argv[1], float(sys.argv[2]), open(sys.argv[3]).read(), sys.argv[4]
usage = json.load(open(f"{folder}/usage.json"))
first, second = usage["attempts"]
assert (first["ended"], second["ended"]) == ("killed", "done")
assert (first["ranks"], second["ranks"]) == (2, 1) and first["nodes"] == 1 and len(first["hosts"]) == 1
assert first["first_step"] == 0 and 20 <= first["last_step"] <= 25, first["last_step"]
assert (second["first_step"], second["last_step"]) == (20, 40)
for attempt in (first, second):
    assert attempt["started"] < attempt["updated"]
    assert len(attempt["peak_memory_bytes"]) == attempt["ranks"] and min(attempt["peak_memory_bytes"]) > 1e6
    assert attempt["bytes"]["loaded"] > 0
    cores = attempt["cores"]
    assert cores["asked"] == attempt["ranks"] and 0 < cores["busy"] <= 1.01
    assert abs(cores["busy"] - cores["cpu_seconds"] / cores["asked"] / cores["wall_seconds"]) < 1e-9
    assert "gpus" not in attempt
assert first["updated"] <= second["started"] + 1e-3

# Between the lines of two steps lie the second step and perhaps a checkpoint.
lines = [line for line in map(json.loads, open(f"{folder}/metrics.jsonl")) if "lr" in line]
assert [line["step"] for line in lines] == list(range(1, 41))
at = [line["time"]["seconds"] for line in lines]
most = at[19] + at[39]  # the clock of each process begins at 0
good = usage["goodput"]
assert 40 * least <= good["useful_step_seconds"] <= most + 0.01, (good, most)
assert good["lost_steps"] == first["last_step"] - 20
wall = second["updated"] - first["started"]
assert abs(good["wall_seconds"] - wall) < 1e-3
assert abs(good["of_wall"] - good["useful_step_seconds"] / wall) < 1e-6
running = sum(attempt["updated"] - attempt["started"] for attempt in (first, second))
assert abs(good["running_seconds"] - running) < 1e-3

said = float(re.search(r"goodput ([0-9.]+) %.*2 attempts", printed)[1])
assert abs(said - 100 * good["of_wall"]) < 1, (said, good)

samples = {name: value for (name, labels), value in prometheus.read(gauges).items() if "phase" not in dict(labels)}
assert samples["lockstep_step"] == samples["lockstep_checkpoint_step"] == samples["lockstep_planned_steps"] == 40
assert samples["lockstep_samples_total"] == 20 * 48 and samples["lockstep_attempts"] == 2
assert (samples["lockstep_running"], samples["lockstep_exit_code"]) == (0, 0)
assert abs(samples["lockstep_goodput_ratio"] - good["of_wall"]) < 0.01
assert abs(samples["lockstep_updated_timestamp_seconds"] - second["updated"]) < 1
print(f"ok: goodput {good['of_wall']:.3f} of {wall:.2f} s in {len(usage['attempts'])} attempts")
