#!/usr/bin/python3
"""check_values.py FOLDER: pages there say what the files of their runs say, and nothing from outside."""
import json
import pathlib
import re
import sys

from page_reader import PageReader

top = pathlib.Path(sys.argv[1])
hostile = next((top / "runs").glob("*script*"))


def expect(condition, what):
    if not condition:
        sys.exit(f"FAILED: {what}")


def lines(run, name):
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


def shown(number):  # as a page has it
    return float(f"{number:.6g}")


pages = {path.stem: PageReader(path) for path in sorted(top.glob("*.html"))}
for name, page in pages.items():
    source = page.source
    expect(len(source) < 2_000_000, f"{name}: {len(source)} bytes")
    for pattern in (r"https?:", r"url\(", r"@import", r"\bsrc\s*=", r"<link", r"<iframe", r"<img", r"\bfetch\(", "XMLHttp"):
        expect(not re.search(pattern, source), f"{name}: {pattern} in the page")
    expect(all(key == "href" and value.startswith("#") for _, key, value in page.links), f"{name}: {page.links}")
    expect({value[1:] for _, _, value in page.links} <= set(page.ids), f"{name}: a link to nowhere")
    expect(len(page.ids) == len(set(page.ids)), f"{name}: two elements have the same id")
    expect(source.count("<script>") == 1, f"{name}: a script of somebody else")
    for title in page.titles:
        labels = page.labels[title]
        expect(len(labels) == 2 and all(re.search(r"\S \[\S[^]]*\]$", label) for label in labels),
               f"{name}: {title}: axes without units: {labels}")
        expect(title in page.tables, f"{name}: {title} has no table")
    drawings = re.findall(r"<svg [^>]*role=img.*?</svg>", source, re.S)
    expect(len(drawings) == len(page.titles), f"{name}: {len(drawings)} drawings, {len(page.titles)} titles")
    expect(all(re.search(r"<title id=t\d+>[^<]+</title><desc id=d\d+>[^<]+</desc>", d) for d in drawings),
           f"{name}: a drawing without title and description")

# Curves are those of metrics.jsonl.
for name, run in (("hostile", hostile), ("one", top / "runs/one"), ("running", top / "runs/two"), ("old", top / "runs/old")):
    head, rows = pages[name].figure("Loss")
    expect([h.split(" [")[0] for h in head] == ["step", "train", "val"], f"{name}: {head}")
    metrics = lines(run, "metrics.jsonl")
    for column, wanted in ((1, [m for m in metrics if "lr" in m]), (2, [m for m in metrics if "split" in m])):
        got = {int(row[0]): float(row[column]) for row in rows if row[column]}
        expect(got == {m["step"]: shown(m["loss"]) for m in wanted}, f"{name}: loss of column {column}")
    for title, key in (("Learning rate", "lr"), ("Gradient norm", "gradient_norm")):
        got = {int(row[0]): float(row[1]) for row in pages[name].figure(title)[1]}
        expect(got == {m["step"]: shown(m[key]) for m in metrics if key in m}, f"{name}: {title}")

# Thinned, with the extremes.
_, rows = pages["long"].figure("Loss")
got = [float(row[1]) for row in rows if row[1]]
wanted = [shown(m["loss"]) for m in lines(top / "runs/long", "metrics.jsonl") if "lr" in m]
expect(100 < len(rows) <= 1000, f"long: {len(rows)} rows of {len(wanted)}")
expect((min(got), max(got), got[0], got[-1]) == (min(wanted), max(wanted), wanted[0], wanted[-1]), "long: extremes")
expect(sum(v > 2.5 for v in got) == sum(v > 2.5 for v in wanted), "long: a spike is missing")

# Times by rank are means of profile.jsonl.
profile = lines(hostile, "profile.jsonl")
steps = sum(p["steps"] for p in profile)
head, rows = pages["hostile"].figure("Time per step by rank")
for rank, row in enumerate(rows):
    wanted = [sum(p["phases"][phase][rank] for p in profile) / steps for phase in ("compute", "fold", "exposed", "data", "other")]
    expect(all(abs(float(got) - w) <= 1e-5 * w for got, w in zip(row[1:], wanted)), f"rank {rank}: {row} {wanted}")

# Efficiency against ranks.
def rate(run):
    profile = lines(run, "profile.jsonl")
    steps = sum(p["steps"] for p in profile)
    stepping = sum(sum(sum(p["phases"][k]) / len(p["positions"]) for k in ("compute", "fold", "exposed", "data")) for p in profile)
    return json.loads((run / "run.json").read_text())["batch"] * steps / stepping


_, rows = pages["series"].figure("Efficiency against ranks")
one = rate(top / "runs/one")
for row, (ranks, name) in zip(rows, ((1, "one"), (2, "two"), (4, "four"))):
    wanted = 100 * rate(top / "runs" / name) / (one * ranks)
    expect(int(row[0]) == ranks and abs(float(row[1]) - wanted) < 1e-3 * wanted, f"efficiency: {row}, expected {wanted}")
expect("Weak scaling" in pages["weak"].source and "Strong scaling" in pages["series"].source, "the kind of series")
expect("Strong scaling" not in pages["hostile"].source, "a single run is no series")
expect("on 1, 2 and 4 ranks: the same bits" in pages["series"].source, "equal digests are told")

# Texts of others are texts.
expect("<script>alert" not in pages["hostile"].source and "<b>above" not in pages["hostile"].source, "a name is markup")
expect(any("loss 3.1 <b>above</b> the median" in row for row in pages["hostile"].tables["Events"][0]), "events")
expect("earlier program" in pages["old"].source, "what an old run lacks is told")
expect("runs, or was killed" in pages["hostile"].source, "a run without an end")
print(f"ok: values of {len(pages)} pages")
