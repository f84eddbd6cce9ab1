#!/usr/bin/env bash
# Gives kernel_table.py kernels that each break one rule. Arguments: its command.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
notices() {  # what it must say, source
  printf '%s\n' "$2" > "$folder/planted.cu"
  if said=$("${command[@]}" --arch 80 -- "$folder/planted.cu"); then
    echo "not noticed: $1"; exit 1
  fi
  grep -q "BROKEN RULE: .*$1" <<< "$said" || { echo "said something else than '$1': $said"; exit 1; }
}
command=("$@")
notices 'moves nothing 16 bytes at a time' \
  '__global__ void narrow(float* x) { x[threadIdx.x] = 1; }'
notices 'adds floats by atomics' \
  '__global__ void atomic(float4* x, float* y) { x[1] = x[0]; atomicAdd(y, x[0].x); }'
notices 'spills' \
  '__global__ void __launch_bounds__(1024, 2) spilling(float4* x) {
     float4 a[24];
     for (int r = 0; r < 9; ++r) {
       _Pragma("unroll") for (int i = 0; i < 24; ++i) a[i] = x[i * 99 + r * threadIdx.x];
       _Pragma("unroll") for (int i = 0; i < 24; ++i) x[i * 77 + r] = make_float4(a[i].x * a[23 - i].y, a[(i + 7) % 24].z, a[i].w, 1);
     } }'
notices 'warning' \
  '__global__ void warned(float4* x) { int unused; x[1] = x[0]; }'
echo "every breach is noticed"
