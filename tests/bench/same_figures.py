#!/usr/bin/env python3
"""same_figures.py FILE.csv FILE.json: both say the same, read by Python's own csv and json. Prints a line for each
group with its rows and, after a tab, the last row's name."""
import csv
import json
import sys


def number(text):
    return float(text) if text else None


def main():
    table_file, json_file = sys.argv[1:]
    with open(table_file, newline="", encoding="utf-8") as file:
        raw = file.read()
    assert raw.count("\r\n") == len(raw.splitlines()) or "\n" in raw.replace("\r\n", ""), "lines end in CRLF"
    heads, *rows = csv.reader(raw.splitlines(keepends=True))
    with open(json_file, encoding="utf-8") as file:
        results = json.load(file)
    assert len(rows) == len(results["rows"]), (len(rows), len(results["rows"]))
    groups = {}
    for cells, row in zip(rows, results["rows"]):
        assert len(cells) == len(heads), cells
        line = dict(zip(heads, cells))
        for name in ("group", "name", "verified"):
            assert line[name] == row[name], (line[name], row[name])
        seconds = row.get("seconds", {})
        for head, name in (("median [s]", "median"), ("least [s]", "least"), ("most [s]", "most"),
                           ("spread", "spread"), ("repetitions", "repetitions"), ("calls", "calls")):
            assert number(line[head]) == seconds.get(name), (head, line[head], seconds)
        assert number(line["of ceiling"]) == row.get("of_ceiling")
        figures = {}
        for head in heads[10:]:
            if line[head]:
                figures[head] = float(line[head])
        expected = {f"{name} [{f['unit']}]" if f["unit"] else name: f["value"]
                    for name, f in row["figures"].items()}
        assert {k: v for k, v in figures.items() if v == v} == {k: v for k, v in expected.items() if v is not None}
        groups.setdefault(row["group"], []).append(row["name"])
    for group, names in groups.items():
        print(f"{group} {len(names)}\t{names[-1]}")


if __name__ == "__main__":
    main()
