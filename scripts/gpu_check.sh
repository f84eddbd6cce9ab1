#!/usr/bin/env bash
# On a machine with a GPU, offline: builds, runs the CUDA tests on the real device, verifies and times each
# kernel, trains a little, and measures GPT-2 124M, resnet20 and the CosmoFlow net. One table on the screen,
# and gpu_check.json and gpu_check.txt in FOLDER. Meant to end within 8 minutes on 16 cores.
#
#   scripts/gpu_check.sh [--tiny] [FOLDER]        default: gpu_check
#
# --tiny: shapes that show in seconds whether the script itself works, with tests of one family.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tiny=()
tests=(-L '^cuda$')
subjects=("gpt2-124m-1024 8 bf16" "gpt2-124m-1024 8 fp32" "resnet20 1024 fp32" "resnet20 1024 bf16" "cosmoflow 8 fp32")
if [ "${1:-}" = --tiny ]; then
  shift
  tiny=(--tiny)
  tests=(-R kernels_elementwise)
  subjects=("mlp 8 fp32" "mlp 8 bf16")
fi
out=$(realpath -m "${1:-gpu_check}")
build=${LOCKSTEP_GPU_BUILD:-build-gpu}
mkdir -p "$out"
exec > >(tee "$out/gpu_check.txt") 2>&1

say() { printf '\n== %4d s  %s\n' "$SECONDS" "$*"; }
command -v nvidia-smi > /dev/null || { echo "gpu_check.sh: nvidia-smi is not here: is there a GPU and its driver?"; exit 2; }
nvidia-smi -L || { echo "gpu_check.sh: nvidia-smi finds no GPU"; exit 2; }
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)

say "Build for sm_$capability"
cmake -S . -B "$build" -G Ninja -DLOCKSTEP_TEST_GPU=ON -DCMAKE_CUDA_ARCHITECTURES="$capability" > "$out/cmake.log" ||
  { tail -n 20 "$out/cmake.log"; exit 2; }
cmake --build "$build" > "$out/build.log" 2>&1 || { tail -n 40 "$out/build.log"; exit 2; }

failed=0
say "Tests on the device"
ctest --test-dir "$build" "${tests[@]}" --output-on-failure --no-tests=error -j 4 > "$out/tests.txt" 2>&1 || failed=1
tail -n 15 "$out/tests.txt"

say "Kernels: verified, then timed"
"$build/benchmarks/bench_kernels" "${tiny[@]}" --json "$out/kernels.json" || failed=1

# steps MODEL BATCH PRECISION: seconds of a step, the fastest of three runs of 20.
steps() {
  printf '5\n20\n20\n20\n' | "$build/benchmarks/bench_step" "$1" 1 "$2" "$3" none cuda | tail -n 3 | sort -g | head -n 1
}
say "Training steps: forward, backward, AdamW; one lane"
printf '%-16s %6s %6s %12s %14s %10s %8s\n' model batch type "ms a step" "samples/s" TFLOP/s MFU
rows=
read -r fp32 bf16 < <(python3 -c '
import json, sys
c = json.load(open(sys.argv[1]))
print(c["fp32"] / 1e9, c["bf16"] / 1e9)' "$out/kernels.json")
for subject in "${subjects[@]}"; do
  read -r model batch precision <<< "$subject"
  read -r seconds gflops _ <<< "$(steps "$model" "$batch" "$precision")" || true
  if [ -z "${seconds:-}" ]; then echo "$model $precision: failed"; failed=1; continue; fi
  peak=$bf16
  [ "$precision" = bf16 ] || peak=$fp32
  row=$(awk -v m="$model" -v b="$batch" -v p="$precision" -v s="$seconds" -v g="$gflops" -v peak="$peak" 'BEGIN {
    tokens = m ~ /gpt/ ? 1024 * b / s : 0
    printf "{\"model\": \"%s\", \"batch\": %d, \"precision\": \"%s\", \"seconds\": %.6f, \"samples_per_second\": %.2f, \"tokens_per_second\": %.0f, \"teraflops\": %.2f, \"mfu\": %.4f}", m, b, p, s, b / s, tokens, g / 1e3, g / peak
    printf "%-16s %6d %6s %12.2f %14.1f %10.1f %7.1f%%\n", m, b, p, s * 1e3, b / s, g / 1e3, 100 * g / peak > "/dev/stderr" }')
  rows="$rows${rows:+, }$row"
done

{ printf '{"steps": [%s],\n"kernels": ' "$rows"; cat "$out/kernels.json"; printf '}\n'; } > "$out/gpu_check.json"
say "Done: $out/gpu_check.json"
[ $failed -eq 0 ] || { echo "gpu_check.sh: something failed, see above"; exit 1; }
