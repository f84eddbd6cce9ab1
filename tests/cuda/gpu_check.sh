#!/usr/bin/env bash
# scripts/gpu_check.sh leaves its table and its JSON, on tiny shapes and with an nvidia-smi that is played.
# Arguments: the script, the build folder, a work folder. LD_LIBRARY_PATH says what stands in for a GPU.
set -euo pipefail
script=$1 build=$2 work=$3
rm -rf "$work"
mkdir -p "$work/bin"
cat > "$work/bin/nvidia-smi" << 'END'
#!/bin/sh
case "$*" in *compute_cap*) echo 8.0 ;; *=name*) echo "NVIDIA A100-SXM4-80GB" ;; *) echo "GPU 0: played" ;; esac
END
chmod +x "$work/bin/nvidia-smi"
PATH=$work/bin:$PATH "$script" --tiny --built "$build" "$work/out"
/usr/bin/python3 - "$work/out" << 'END'
import json, pathlib, sys
out = pathlib.Path(sys.argv[1])
found = json.loads((out / 'gpu_check.json').read_text())
table = (out / 'gpu_check.txt').read_text()
assert found['gpu'] == 'NVIDIA A100-SXM4-80GB'
kernels, steps = found['kernels']['kernels'], found['steps']
assert len(kernels) > 20, len(kernels)
for k in kernels:
    assert k['microseconds'] > 0 and k['deviation'] < 1e-2 and k['kernel'] in table, k
assert [(s['model'], s['precision']) for s in steps] == [('mlp', 'fp32'), ('mlp', 'bf16')]
for s in steps:
    peak = {'fp32': 19.5, 'bf16': 312}[s['precision']]
    assert abs(s['samples_per_second'] * s['milliseconds'] / 8000 - 1) < 1e-6, s
    assert s['teraflops'] > 0 and abs(s['mfu'] * peak / s['teraflops'] - 1) < 1e-6, s
    ceiling = found['kernels'][s['precision']] * 1e-12
    assert abs(s['of_ceiling'] * ceiling / s['teraflops'] - 1) < 1e-6, s
assert '100% tests passed' in table and 'Done' in table
END
# What fails is said, and the rest goes on.
mkdir "$work/nothing"
if PATH=$work/bin:$PATH "$script" --tiny --built "$work/nothing" "$work/none" > "$work/none.txt" 2>&1; then
  echo "FAILED: nothing was built, and the script is content"
  exit 1
fi
for part in 'tests failed' 'bench_kernels failed' 'bench_step mlp 8 bf16 failed' 'something failed'; do
  grep -q "$part" "$work/none.txt" || { echo "FAILED: not said: $part"; cat "$work/none.txt"; exit 1; }
done
