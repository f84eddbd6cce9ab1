#!/usr/bin/env bash
# On a machine with a GPU, offline: builds, runs the CUDA tests on the real device, verifies and times each
# kernel, and measures GPT-2 124M, resnet20 and the CosmoFlow net. One table on the screen; gpu_check.json and
# gpu_check.txt in FOLDER. Meant to end within 8 minutes on 16 cores: a part that hangs is ended, the rest goes on.
#
#   scripts/gpu_check.sh [--tiny] [--built BUILD] [FOLDER]        default: gpu_check
#
# --tiny: one family of tests, and shapes that show in seconds whether the script itself works. --built: takes
# the programs of that build folder as they are; else builds into build-gpu.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tiny=() tests=(-L '^cuda$') repeats=$'5\n20\n20\n20\n' build=build-gpu built=
subjects=("gpt2-124m-1024 8 bf16" "gpt2-124m-1024 8 fp32" "resnet20 1024 fp32" "resnet20 1024 bf16" "cosmoflow 8 fp32")
while [[ "${1:-}" == --* ]]; do
  case $1 in
    --tiny)
      tiny=(--tiny) tests=(-R '^kernels_elementwise(\.order0)?$') repeats=$'1\n1\n1\n1\n'
      subjects=("mlp 8 fp32" "mlp 8 bf16") ;;
    --built) build=${2:?gpu_check.sh: --built needs a folder} built=yes; shift ;;
    *) echo "usage: gpu_check.sh [--tiny] [--built BUILD] [FOLDER]" >&2; exit 2 ;;
  esac
  shift
done
out=$(realpath -m "${1:-gpu_check}") build=$(realpath -m "$build")
mkdir -p "$out"
rm -f "$out"/*.json "$out"/*.txt "$out"/*.log
failed=0

say() { printf '\n== %4d s  %s\n' "$SECONDS" "$*"; }
fails() { echo "gpu_check.sh: $*"; failed=1; }
within() { timeout -k 10 "$@"; }  # seconds, command

build_all() {
  say "Build for sm_$capability"
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLOCKSTEP_TEST_GPU=ON \
    -DCMAKE_CUDA_ARCHITECTURES="$capability" > "$out/cmake.log" 2>&1 || { tail -n 20 "$out/cmake.log"; exit 2; }
  grep -q '^LOCKSTEP_CUDA:BOOL=ON' "$build/CMakeCache.txt" ||
    { grep 'CUDA:' "$out/cmake.log"; echo "gpu_check.sh: CMake finds no CUDA"; exit 2; }
  cmake --build "$build" --target cuda_programs > "$out/build.log" 2>&1 || { tail -n 40 "$out/build.log"; exit 2; }
}

run_tests() {
  say "Tests on the device"
  mkdir -p "$out/ctest"  # ctest's records lie here, so that a build folder is only read
  echo "subdirs(\"$build\")" > "$out/ctest/CTestTestfile.cmake"
  within 240 ctest --test-dir "$out/ctest" "${tests[@]}" --output-on-failure --no-tests=error -j 4 > "$out/tests.txt" 2>&1 ||
    fails "tests failed, see $out/tests.txt"
  grep -E '^[0-9]+% tests passed|\(Failed\)|\(Timeout\)|Not Run' "$out/tests.txt" || tail -n 5 "$out/tests.txt"
}

time_kernels() {
  say "Kernels: verified, then timed"
  within 150 "$build/benchmarks/bench_kernels" "${tiny[@]}" --json "$out/kernels.json" || fails "bench_kernels failed"
}

# The best mean of three runs of 20 steps, of each subject. Two rates: of the best product of matrices measured
# here (of ceiling), and of the data sheet's (MFU), where it is known.
time_steps() {
  say "Training steps: forward, backward, AdamW; one lane"
  local subject model batch precision said
  for subject in "${subjects[@]}"; do
    read -r model batch precision <<< "$subject"
    said=$(printf '%s' "$repeats" | within 75 "$build/benchmarks/bench_step" "$model" 1 "$batch" "$precision" none cuda) || said=
    if [ "$(wc -l <<< "$said")" != 4 ]; then
      fails "bench_step $subject failed"
      continue
    fi
    echo "$subject $(tail -n 3 <<< "$said" | sort -g | head -n 1)" >> "$out/steps.log"
  done
  python3 scripts/gpu_table.py "$out" "$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)" || fails "no table"
}

main() {
  command -v nvidia-smi > /dev/null || { echo "gpu_check.sh: nvidia-smi is not here: is there a GPU and its driver?"; exit 2; }
  nvidia-smi -L || { echo "gpu_check.sh: nvidia-smi finds no GPU"; exit 2; }
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
  [ -n "$built" ] || build_all
  run_tests
  time_kernels
  time_steps
  say "Done: $out/gpu_check.json"
  [ $failed -eq 0 ] || { echo "gpu_check.sh: something failed, see above"; exit 1; }
}
main 2>&1 | tee "$out/gpu_check.txt"
