"""The results of compare_pytorch.py as Markdown."""
import datetime
import platform
import subprocess
import sys

from contestants import shown


def ms(seconds):
    return f"{seconds * 1e3:.1f}" if seconds < 1 else f"{seconds * 1e3:.0f}"


def percent(flop, seconds, peak):
    return f"{100 * flop / seconds / (peak * 1e9):.0f} %"


def name(row):
    return row["model"] + ("" if row["precision"] == "fp32" else f" {row['precision']}")


def cells(*values):
    return "| " + " | ".join(map(str, values)) + " |"


def head(*names):
    return [cells(*names), cells(*("---" for _ in names))]


def line(row):
    s, flop, peak = row["seconds"], row["flop"] * 1e9, row["peak"]
    return cells(name(row), row["batch"], ms(s["ours1"]), f"{row['lanes']}: {ms(s['ours'])}", ms(s["best"]),
                 ms(s["plain"]), f"**{s['best'] / s['ours1']:.2f}**", f"{s['best'] / s['ours']:.2f}",
                 row["goal"][0] or "-", "-" if row["goal"][1] is None else f"{row['goal'][1]} %",
                 percent(flop, s["ours1"], peak), percent(flop, s["best"], peak))


def two_line(row):
    return cells(name(row), row["lanes"], ms(row["two"]), ms(row["torch"]), f"**{row['torch'] / row['two']:.2f}**",
                 ms(row["one"]), f"{row['one'] / row['two']:.2f}", row["best"])


def run(command):
    try:
        return subprocess.run(command, shell=True, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def machine():
    facts = dict(entry.split(":", 1) for entry in run("lscpu").splitlines() if ":" in entry)
    fact = lambda key: facts.get(key, "?").strip()
    memory = run("awk '/MemTotal/ { printf \"%.0f\", $2 / 1048576 }' /proc/meminfo")
    isa = [flag for flag in ("avx2", "avx512f", "avx512_bf16") if flag in fact("Flags").split()]
    return (f"{fact('Model name')} (family {fact('CPU family')}, model {fact('Model')}), {fact('CPU(s)')} cores, "
            f"{', '.join(isa)}; L1d {fact('L1d cache')}, L2 {fact('L2 cache')}, L3 {fact('L3 cache')}; "
            f"{memory} GiB of memory; Linux {platform.release().split('-')[0]}")


def page(result, arguments):
    version = run(f"{arguments.lockstep} --version").splitlines()[:1] or ["?"]
    # Where a python lies says nothing to a reader.
    known = {"--program", "--lockstep", "--python"}
    words = [w for i, w in enumerate(sys.argv[1:], 1) if w not in known and sys.argv[i - 1] not in known]
    command = " ".join(["benchmarks/compare_pytorch.py", *("--python PYTHON" for _ in arguments.python), *words])
    peak = result["rows"][0]["peak"]
    text = [
        "<!-- Written by benchmarks/compare_pytorch.py --page; measure again instead of editing. -->",
        "# Performance", "",
        "Whole training steps on data in memory: forward, backward, AdamW. Both programs alternate in one run;",
        f"medians of {arguments.rounds} rounds.", "",
        f"- Machine: {machine()}. Load when the run began: {result['load']:.1f}.",
        f"- {version[0]}. Measured on {datetime.date.today()} with `{command}`.",
        "- PyTorch at its best: for each version its settings are searched (below), and the best of all counts.",
        '  "As it comes" is the faster version without any setting.',
        '- "Of peak": multiply-add flop of the model by the time, against the fp32 multiply-add peak of a core,',
        f"  measured in the same process ({peak:.0f} GFLOP/s). The row of bf16 has PyTorch in fp32, and fp32's peak.",
        ""]
    return "\n".join(text + one_core(result) + two_cores(result) + memory(result) + start(result) + bound(result)
                     + settings(result)) + "\n"


def one_core(result):
    text = ["## One core", "",
            *head("model", "batch", "1 lane, ms", "lanes: ms", "PyTorch, ms", "as it comes, ms", "ratio, 1 lane",
                  "ratio, lanes", "goal", "goal of peak", "of peak", "PyTorch of peak"),
            *map(line, result["rows"]), "",
            "Ratios are PyTorch's time (at its best) by ours. One lane: the whole batch at once, as PyTorch does it.",
            "More lanes: the same batch in as many microbatches, for as many ranks, with the same bits on any number",
            "of them.", ""]
    for row in result["rows"]:
        if row["autocast"]:
            text += [f"PyTorch {row['autocast']} needs {ms(row['seconds']['autocast'])} ms for {row['model']} with its",
                     "own bf16 (autocast), in the settings that are best in fp32.", ""]
    return text


def two_cores(result):
    if not result["two"]:
        return []
    return ["## Two cores", "",
            *head("model", "lanes", "2 ranks, ms", "PyTorch, ms", "ratio", "1 rank, ms", "speed-up",
                  "PyTorch on two cores"),
            *map(two_line, result["two"]), ""]


def memory(result):
    rows = [cells(name(row), *(f"{row['memory'][who] / 1e6:.0f}" for who in ("ours1", "ours", "best")))
            for row in result["rows"]]
    return ["## Peak memory on one core", "", *head("model", "1 lane, MB", "lanes, MB", "PyTorch, MB"), *rows, "",
            "Of the whole process (VmHWM); of PyTorch in the settings that are fastest.", ""]


def start(result):
    if not result["start"]:
        return []
    return ["## Start", "",
            "From launch to a model of 784-1024-1024-10 that is ready to train (`lockstep train --check`;",
            "`import torch`, model, optimizer):", "",
            *(f"- {who}: {seconds:.2f} s" for who, seconds in result["start"].items()), ""]


def bound(result):
    b = result["bound"]
    mlp = next((row for row in result["rows"] if row["model"] == "mlp"), None)
    text = ["## What bounds the MLP", "",
            f"A step with one lane moves at least {b['bytes'] / 1e6:.1f} MB: weights read forward and backward, the",
            "gradient written, and AdamW's seven passes. That takes",
            f"{ms(b['bytes'] / b['memory'])} ms from memory ({b['memory'] / 1e9:.0f} GB/s: numpy adding two arrays of "
            "256 MB into a third), or",
            f"{ms(b['bytes'] / b['cached'])} ms where all {b['state'] / 1e6:.0f} MB of weights, gradient and means "
            f"stay in cache ({b['cached'] / 1e9:.0f} GB/s, arrays of that size)."]
    if mlp:
        text += [f"Its products alone take {ms(mlp['flop'] / mlp['peak'])} ms at the peak. Measured: "
                 f"{ms(mlp['seconds']['ours1'])} ms."]
    return text + [""]


def settings(result):
    text = ["## Settings of PyTorch that were tried", "",
            "One core; the least of a few timings. A setting that gained at least 1 % stayed while the next were",
            "tried.", "", *(f"- {name(row)}: best {row['best']}" for row in result["rows"]), "",
            *head("model", "PyTorch", "settings", "ms")]
    versions = {}
    for model, found in result["searches"].items():
        for python, tried in found.items():
            if python not in versions:
                versions[python] = run(f"'{python}' -c 'import torch; print(torch.__version__)'")
            text += [cells(model, versions[python], shown(s), ms(seconds)) for s, seconds in tried]
    return text
