#!/usr/bin/env python3
"""Reads a file for Prometheus' textfile collector strictly, by the rules of its text format and of
`promtool check metrics`, and prints "name value" lines for figures with the run's labels alone.
Arguments: the file, the value that the label `run` must have."""
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
VALUE = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?Inf|NaN")
RESERVED = {"job", "instance", "le", "quantile"}  # scraping sets the first two itself
ABBREVIATED = re.compile(r"_(ms|sec|secs|kb|mb|percent|s)(_|$)")


def read(path):
    text = open(path, encoding="utf-8", newline="").read()
    assert text.endswith("\n") and "\r" not in text, "the last line has no end"
    helps, types, samples, current = {}, {}, {}, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, text_of_help = line[7:].split(" ", 1)
            assert name not in helps and text_of_help.strip(), line
            helps[name] = text_of_help
            current = name
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name == current and name not in types, f"type apart from its help: {line}"
            assert kind in ("gauge", "counter"), line
            types[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, f"no sample: {line}"
            name, labels, value = match[1], dict(re.findall(LABEL, match[2] or "")), match.groups()[-1]
            assert name == current and name in types, f"a sample outside of its family: {line}"
            assert VALUE.fullmatch(value), f"no number: {line}"
            assert not RESERVED & labels.keys(), line
            key = (name, tuple(sorted(labels.items())))
            assert key not in samples, f"twice: {line}"
            samples[key] = float(value)
    for name, kind in types.items():
        assert re.fullmatch(NAME, name) and name.startswith("lockstep_"), name
        assert (kind == "counter") == name.endswith("_total"), f"{name} is a {kind}"
        assert not name.endswith(("_count", "_sum", "_bucket", "_info")), name
        assert not ABBREVIATED.search(name), f"{name}: base units, written out"
        assert any(key[0] == name for key in samples), f"{name} has no sample"
    return samples


if __name__ == "__main__":
    samples = read(sys.argv[1])
    runs = {dict(labels).get("run") for _, labels in samples}
    assert runs == {sys.argv[2]}, runs
    for (name, labels), value in samples.items():
        if set(dict(labels)) <= {"run", "slurm_job"}:
            print(name, value)
