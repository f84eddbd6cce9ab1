#!/usr/bin/env python3
"""gpu_table.py FOLDER NAME: what gpu_check.sh measured of training steps (steps.log) as a table on the
screen, and with the kernels (kernels.json) as gpu_check.json. NAME: the GPU's, for its data sheet."""
import json
import pathlib
import sys

# Peak TFLOP/s of fp32 and bf16 without sparsity (NVIDIA's data sheets, SXM).
SHEETS = {'A100': (19.5, 312), 'H100': (67, 989), 'H200': (67, 989), 'B200': (75, 2250)}
TOKENS = {'gpt2-124m-1024': 1024}  # of a sample


def step(line, ceilings, sheet):
    model, batch, precision, seconds, gflops, _ = line.split()
    batch, seconds, rate = int(batch), float(seconds), float(gflops) / 1e3
    peak = sheet[precision == 'bf16'] if sheet else None
    return {'model': model, 'batch': batch, 'precision': precision, 'milliseconds': seconds * 1e3,
            'samples_per_second': batch / seconds,
            'tokens_per_second': batch * TOKENS[model] / seconds if model in TOKENS else None,
            'teraflops': rate, 'of_ceiling': rate * 1e12 / ceilings[precision] if ceilings else None,
            'mfu': rate / peak if peak else None}


def percent(value):
    return '-' if value is None else f'{100 * value:.1f}%'


def main():
    folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
    kernels = folder / 'kernels.json'
    measured = json.loads(kernels.read_text()) if kernels.exists() else None
    sheet = next((peak for part, peak in SHEETS.items() if part in name), None)
    log = folder / 'steps.log'
    steps = [step(line, measured, sheet) for line in log.read_text().splitlines()] if log.exists() else []
    print(f'{"model":<16} {"batch":>6} {"type":>6} {"ms a step":>12} {"samples/s":>12} {"tokens/s":>12} {"TFLOP/s":>10} '
          f'{"of ceiling":>12} {"MFU":>8}')
    for s in steps:
        tokens = '-' if s['tokens_per_second'] is None else f'{s["tokens_per_second"]:.0f}'
        print(f'{s["model"]:<16} {s["batch"]:>6} {s["precision"]:>6} {s["milliseconds"]:>12.2f} '
              f'{s["samples_per_second"]:>12.1f} {tokens:>12} {s["teraflops"]:>10.3f} {percent(s["of_ceiling"]):>12} '
              f'{percent(s["mfu"]):>8}')
    result = {'gpu': name, 'steps': steps, 'kernels': measured}
    (folder / 'gpu_check.json').write_text(json.dumps(result, indent=1) + '\n')


main()
