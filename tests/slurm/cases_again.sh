# Jobs that are ended and started again, and end with the digest of the run never disturbed. Sourced by slurm.sh.
# shellcheck shell=bash disable=SC2154

# Slurm signals before the limit, or the run sees it come by itself: save, back to the queue, on to the end.
case_time_limit() {
  local launcher jobs=() name
  for launcher in srun mpirun; do
    LOCKSTEP_LAUNCHER=$launcher LOCKSTEP_FAULT=$slow submit_run $launcher --time=2 --signal=B:USR1@75 -- \
      --set run.time_limit=off
    jobs+=("$job")
  done
  LOCKSTEP_FAULT=$slow submit_run clock --time=1 --signal=B:CONT@1
  jobs+=("$job")
  for name in srun mpirun clock; do
    ends "${jobs[0]}" COMPLETED 0 +
    jobs=("${jobs[@]:1}")
    says $name 'ended with code 75; back to the queue, to go on from .*step-'
    says $name 'resumed '
    has_digest $name
  done
  says srun 'stopped by USR1'
  says mpirun 'stopped by USR1'
  says clock 'stopped by the time limit'
}

case_requeue() {
  local jobs=() launcher
  for launcher in srun mpirun; do
    LOCKSTEP_LAUNCHER=$launcher LOCKSTEP_FAULT=$slow submit_run $launcher --nodes=2 --ntasks-per-node=1
    jobs+=("$job")
  done
  saves srun
  scontrol requeue "${jobs[0]}"
  saves mpirun
  scontrol requeue "${jobs[1]}"
  for launcher in srun mpirun; do
    ends "${jobs[0]}" COMPLETED 0 1
    jobs=("${jobs[@]:1}")
    says $launcher 'resumed '
    has_digest $launcher
  done
}

declare -A others=([srun]="n[7-10]" [mpirun]="n[5-6],n[9-10]")
# A job of a higher partition takes one of two nodes: the run goes on with half the ranks.
case_preemption() {
  local launcher jobs=() higher
  for launcher in srun mpirun; do
    LOCKSTEP_LAUNCHER=$launcher LOCKSTEP_RANKS=2 LOCKSTEP_FAULT=$slow \
      submit $launcher preemptible --partition=scavenge --nodes=1-2 --exclude="n[1-4],${others[$launcher]}" -- \
      "$work/run.toml" --set "data.path=$work/small.h5" --set "checkpoint.dir=$launcher"
    jobs+=("$job")
  done
  saves srun
  saves mpirun
  higher=$(sbatch --parsable --nodelist=n5,n7 --exclusive --output=higher.out --wrap 'sleep 300')
  for launcher in srun mpirun; do
    ends "${jobs[0]}" COMPLETED 0 +
    jobs=("${jobs[@]:1}")
    says $launcher '4 ranks on 2 nodes'
    says $launcher '2 ranks on 1 node,'
    says $launcher 'stopped by USR1'
    has_digest $launcher
  done
  scancel "$higher"
}

case_lost_node() {
  LOCKSTEP_FAULT=$slow submit_run lost --exclude='n[1-8]' --nodes=1
  saves lost
  local node
  node=$(field "$job" NodeList)
  scontrol update nodename="$node" state=down reason=test
  ends "$job" COMPLETED 0 1
  says lost 'resumed '
  has_digest lost
  echo "ok: $node was lost, $(field "$job" NodeList) went on"
}

# Cancelled, the run has saved under srun, and lost little under mpirun; the same command goes on.
case_cancel() {
  local launcher jobs=()
  for launcher in srun mpirun; do
    LOCKSTEP_LAUNCHER=$launcher LOCKSTEP_FAULT=$slow submit_run $launcher --nodes=2 --ntasks-per-node=1
    jobs+=("$job")
  done
  for launcher in srun mpirun; do
    saves $launcher
    scancel "${jobs[0]}"
    ends "${jobs[0]}" CANCELLED '[0-9]+' 0
    jobs=("${jobs[@]:1}")
    intact $launcher
  done
  says srun 'stopped by TERM'
  for launcher in srun mpirun; do
    LOCKSTEP_LAUNCHER=$launcher submit_run $launcher
    ends "$job" COMPLETED 0 0
    says $launcher 'resumed '
    has_digest $launcher
  done
}

# A rank dies: the run goes on from its last checkpoint. It dies at every start: after one without a new
# checkpoint too many the job ends.
case_killed_rank() {
  local jobs=() launcher
  for launcher in srun mpirun; do
    LOCKSTEP_LAUNCHER=$launcher LOCKSTEP_FAULT="kill rank=1 at=fold step=90" submit_run $launcher
    jobs+=("$job")
  done
  LOCKSTEP_TRIES=2 LOCKSTEP=$program LOCKSTEP_FAULT="kill rank=1 at=fold step=5" submit_run doomed
  for launcher in srun mpirun; do
    ends "${jobs[0]}" COMPLETED 0 1
    jobs=("${jobs[@]:1}")
    says $launcher 'back to the queue, to go on from .*step-'
    has_digest $launcher
  done
  ends "$job" FAILED '1[0-9][0-9]' 1
  says doomed 'back to the queue, to go on from the start'
  says doomed 'starts in a row without a new checkpoint: 2'
  [ -z "$(find . -name '*.tries')" ] || fail "a note of starts was left"
}

# A step that takes longer than is left: Slurm kills it, and the job is in the queue again nevertheless.
case_overtime_long() {
  local launcher jobs=()
  for launcher in srun mpirun; do
    LOCKSTEP_LAUNCHER=$launcher LOCKSTEP_FAULT="slow rank=0 at=forward step=30 ms=200000" \
      submit_run $launcher --time=1 -- --set run.time_limit=off
    jobs+=("$job")
  done
  for launcher in srun mpirun; do
    ends "${jobs[0]}" COMPLETED 0 1
    jobs=("${jobs[@]:1}")
    says $launcher 'the time is over before the run has stopped; back to the queue'
    has_digest $launcher
  done
}

# A signal at any moment, from before the script's first line on.
case_any_moment_long() {
  local i jobs=() delay
  for i in 1 2 3 4 5 6 7 8; do
    LOCKSTEP_LAUNCHER=$([ $((i % 2)) = 0 ] && echo mpirun || echo srun) LOCKSTEP_FAULT=$slow submit_run "run-$i" -- \
      --set train.steps=60
    jobs+=("$job")
    delay=$((RANDOM % 5)).$((RANDOM % 10))
    until_true 60 "job $job starts" is_running "$job"
    { sleep "$delay"; scancel --batch --signal=USR1 "$job"; } &
  done
  wait
  local expected
  expected=$(digest_alone --set train.steps=60)
  for i in 1 2 3 4 5 6 7 8; do
    ends "${jobs[i - 1]}" COMPLETED 0 '[0-9]'
    has_digest "run-$i" "$expected"
  done
}
