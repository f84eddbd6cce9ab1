# Ranks that are too many, strangers to each other, short of memory, or not finite. Sourced by failures.sh.
# shellcheck shell=bash disable=SC2154,SC2034

case_more_ranks_than_lanes() {
  train 3 train.lanes=2
  says 2 '3 ranks' 'train.lanes = 2' 'no more than 2' 'train\.lanes'
}
# What srun does with the wrong PMI: N programs, each rank 0 of 1.
case_singletons() {
  local pids=()
  for task in 0 1; do
    env SLURM_JOB_ID=1 SLURM_STEP_ID=0 SLURM_PROCID=$task SLURM_NTASKS=2 SLURM_STEP_NUM_TASKS=2 \
      timeout "$limit" "$program" train "$here/model.toml" --set "data.path=$work/good.h5" \
      --set "checkpoint.dir=$folder/run" > "$out.$task" 2> "$err.$task" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do status=0; wait "$pid" || status=$?; done
  cat "$out".? > "$out"
  cat "$err".? > "$err"
  says 2 '2 processes' 'PMI' 'srun --mpi=pmix' 'mpirun'
  [ ! -e "$folder/run" ] || fail "a run was begun"
  # The count that mpirun gives is checked against what MPI finds.
  status=0
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout "$limit" "$mpirun" -np 2 \
    env OMPI_COMM_WORLD_SIZE=4 "$program" train "$here/model.toml" --set "data.path=$work/good.h5" \
    > "$out" 2> "$err" || status=$?
  says 2 '4 processes' '2' 'mpirun'
}
# MPI_Init waits for a process that never comes there: no communicator, and yet an end within the limit.
case_stuck_start() {
  status=0
  timeout "$limit" "$mpirun" -np 1 "$program" train "$here/model.toml" --set "data.path=$work/good.h5" \
    --set run.watchdog=2 : -np 1 sleep 100 > "$out" 2> "$err" || status=$?
  says 74 'MPI_Init' '2\.0 s' 'run\.watchdog'
}
# An absurd learning rate: the first update is applied, and what follows overflows.
case_nan_in_gradient() {
  for ranks in 0 1 3; do
    rm -rf "$folder/run"
    train $ranks "checkpoint.dir=$folder/run" optimizer.kind=sgd checkpoint.every=2steps --stop-after=4
    succeeds
    train $ranks "checkpoint.dir=$folder/run" optimizer.kind=sgd optimizer.lr=1e30 --resume
    says 3 'not finite' 'step 6' 'nothing was applied' 'optimizer\.lr'
    intact "$folder/run" 4
    no_leftovers "$folder/run"
  done
}
# Windows that do not fit /dev/shm: messages instead, one warning, the same bits.
case_small_shm() {
  local model=("model.hidden=[2000,2000]" train.steps=3 data.val=)
  train 2 "${model[@]}"
  succeeds
  local expected
  expected=$(digest)
  ! grep -q warning "$err" || fail "a warning without need"
  # shellcheck disable=SC2016
  with_mounts 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec timeout "$limit" "$mpirun" -np 2 "$program" \
    train "$here/model.toml" --set "data.path=$work/good.h5" --set "model.hidden=[2000,2000]" \
    --set train.steps=3 --set data.val='
  succeeds
  [ "$(grep -c '^lockstep: warning' "$err")" = 1 ] || fail "expected one warning"
  grep -qE '^lockstep: warning: .*/dev/shm.*(remount|shm-size)' "$err" || fail "the warning does not say what to try"
  grep '^lockstep: ' "$err"
  same "$expected" "$(digest)" "/dev/shm of 64 MB"
}
