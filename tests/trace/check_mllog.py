"""check_mllog.py LOG [options]: a log by MLPerf's rules for training and HPC (its compliance checker's common and
CosmoFlow's): all lines parse, required keys are there as often as they must be, starts and stops pair up in order,
and values are those of the run."""
import argparse
import collections
import json
import sys

PREFIX = ":::MLLOG "
ONCE = ("submission_benchmark submission_org submission_division submission_status submission_platform init_stop "
        "run_start run_stop seed global_batch_size train_samples eval_samples gradient_accumulation_steps opt_name "
        "opt_base_learning_rate opt_weight_decay opt_learning_rate_warmup_epochs opt_learning_rate_warmup_factor "
        "opt_learning_rate_decay_boundary_epochs opt_learning_rate_decay_factor").split()
SOME = ("cache_clear", "init_start", "epoch_start", "epoch_stop", "block_start", "block_stop", "eval_start",
        "eval_stop", "eval_error")
TYPES = {"start": "INTERVAL_START", "stop": "INTERVAL_END"}


def check(holds, why):
    if not holds:
        sys.exit(f"FAILED: {why}")


def read(path):
    events = []
    for line in open(path):
        check(line.startswith(PREFIX) and line.endswith("\n"), f"no line of a log: {line!r}")
        e = json.loads(line[len(PREFIX):])
        check(set(e) == {"namespace", "time_ms", "event_type", "key", "value", "metadata"}, f"keys of {e}")
        check(isinstance(e["time_ms"], int) and e["namespace"] == "", f"time of {e}")
        check(isinstance(e["metadata"]["file"], str) and e["metadata"]["lineno"] > 0, f"place of {e}")
        check(e["event_type"] == TYPES.get(e["key"].rsplit("_", 1)[-1], "POINT_IN_TIME"), f"type of {e}")
        events.append(e)
    return events


def check_order(events, resumed):
    """Intervals open and close in turn: a block around epochs, nothing outside of the run."""
    open_now, last = {}, 0
    for e in events:
        name, _, edge = e["key"].rpartition("_")
        number = next((e["metadata"][k] for k in ("epoch_num", "first_epoch_num") if k in e["metadata"]), None)
        if edge == "start":
            # What a killed attempt left open begins again.
            check(name not in open_now or (resumed and name in ("epoch", "block", "eval")), f"{name} is open: {e}")
            open_now[name] = number
            if name == "run":
                check(not open_now.keys() - {"run"}, f"{open_now} at run_start")
            if name in ("block", "epoch", "eval", "staging"):
                check("run" in open_now, f"{name} outside of the run")
            if name == "epoch":
                check("block" in open_now, "an epoch outside of a block")
        elif edge == "stop":
            check(name in open_now and open_now.pop(name) == number, f"nothing to stop: {e}")
            if name == "run":
                check(not open_now, f"{open_now} at run_stop")
        if e["key"] in ("eval_error", "epoch_start", "epoch_stop", "eval_start", "eval_stop"):
            check(number is not None and number > 0, f"no epoch_num: {e}")
        if name in ("run", "init", "epoch", "block", "eval"):
            check(e["time_ms"] >= last, f"time goes back at {e}")
            last = e["time_ms"]
    return open_now


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("log")
    for name in ("epochs", "batch", "train", "eval", "resumed"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--org")
    parser.add_argument("--errors")
    parser.add_argument("--blocks")
    parser.add_argument("--staged", action="store_true")
    parser.add_argument("--aborted", action="store_true")
    a = parser.parse_args()
    events = read(a.log)
    counts = collections.Counter(e["key"] for e in events)
    value = {e["key"]: e["value"] for e in events}
    for key in ONCE:
        check(counts[key] == 1, f"{key} {counts[key]} times")
    status = next(e for e in events if e["key"] == "run_stop")["metadata"]["status"]
    check(status == ("aborted" if a.aborted else "success"), f"status {status}")
    check(events[-1]["key"] == "run_stop", "run_stop is not the last line")
    if a.aborted:
        return
    for key in SOME:
        check(counts[key] > 0, f"no {key}")
    check_order(events, a.resumed is not None)
    check(value["submission_org"] == a.org, f"org {value['submission_org']}")
    check(value["submission_division"] in ("open", "closed"), "division")
    check(value["submission_status"] in ("cloud", "onprem", "preview", "research"), "status")
    check(value["submission_benchmark"] == "cosmoflow" and value["submission_platform"], "benchmark")
    check((value["global_batch_size"], value["train_samples"], value["eval_samples"]) == (a.batch, a.train, a.eval),
          "sizes")
    check(value["opt_name"] == "sgd" and value["opt_base_learning_rate"] == 1e-3, "optimizer")
    steps_per_epoch = a.train // a.batch
    check(value["opt_learning_rate_warmup_epochs"] == 3 / steps_per_epoch, "warmup")
    check(value["opt_learning_rate_decay_boundary_epochs"] ==
          [s / steps_per_epoch for s in range(4, a.epochs * steps_per_epoch, 4)], "boundaries")
    epochs = [e["metadata"]["epoch_num"] for e in events if e["key"] == "epoch_stop"]
    check(epochs == list(range(1, a.epochs + 1)), f"epochs {epochs}")
    check(("staging_start" in counts) == a.staged == ("staging_stop" in counts), "staging")
    if a.blocks:
        blocks = ",".join(f"{e['metadata']['first_epoch_num']}+{e['metadata']['epoch_count']}" for e in events
                          if e["key"] == "block_start")
        check(blocks == a.blocks, f"blocks {blocks}")
    if a.resumed is not None:
        check(value["resumed"] == a.resumed, f"resumed at {value['resumed']}")
    if a.errors:
        lines = [json.loads(line) for line in open(a.errors)]
        expected = [line["mae"] if "mae" in line else line["metrics"]["mae"] for line in lines if "split" in line]
        got = [e["value"] for e in events if e["key"] == "eval_error"]
        check(got == expected and got, f"eval_error {got}, metrics.jsonl has {expected}")
    print(f"{len(events)} lines, {len(counts)} keys")


main()
