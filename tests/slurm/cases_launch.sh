# Jobs that nothing disturbs: launchers, shapes, GPUs, arrays, chains, scaling. Sourced by slurm.sh.
# shellcheck shell=bash disable=SC2154

case_launch() {
  local launcher shape jobs=() names=() i
  for launcher in srun mpirun; do
    for shape in 1x2 2x2 4x1; do
      LOCKSTEP_LAUNCHER=$launcher submit_run $launcher-$shape --nodes=${shape%x*} --ntasks-per-node=${shape#*x}
      jobs+=("$job") names+=("$launcher-$shape")
    done
  done
  for i in "${!jobs[@]}"; do
    ends "${jobs[i]}" COMPLETED 0 0
    has_digest "${names[i]}"
  done
  says srun-2x2 '4 ranks on 2 nodes'
  says mpirun-4x1 '4 ranks on 4 nodes'
  # Bound to cores, where the job's nodes have as many as it has tasks: this machine may have just one.
  LOCKSTEP_BIND=cores LOCKSTEP_LAUNCHER=mpirun submit_run bound --ntasks-per-node=1
  ends "$job" COMPLETED 0 0
  says bound 'mpirun --map-by slot:PE=1 --bind-to core'
  LOCKSTEP_BIND=cores submit_run threads --ntasks-per-node=1 --cpus-per-task=2 -- --set run.threads=2
  ends "$job" COMPLETED 0 0
  says threads 'cpu-bind=cores --cpus-per-task=2'
  has_digest threads
}

# With GPUs by the node, each rank sees all of the job's there, and can read its peers' memory; with GPUs by the
# task, its own alone.
case_gpus() {
  local first name
  submit_run by-node --nodes=2 --ntasks-per-node=2 --gpus-per-node=2
  first=$job
  submit_run by-task --nodes=2 --ntasks-per-node=2 --gpus-per-task=1
  ends "$first" COMPLETED 0 0
  ends "$job" COMPLETED 0 0
  [ "$(grep -cE '^rank [0-3] on .*: GPUs 0,1$' by-node.out)" = 4 ] || fail "by node: $(grep '^rank ' by-node.out)"
  [ "$(grep -oE '^rank [0-3] on .*: GPUs [0-3]$' by-task.out | cut -d ' ' -f 4- | sort -u | wc -l)" = 4 ] ||
    fail "by task: $(grep '^rank ' by-task.out)"
  for name in by-node by-task; do has_digest $name; done
}

# One of three elements is asked to stop: it alone is started again, though its id is that of the whole array.
case_array() {
  printf '%s\n' train.seed=5 "train.seed=6 optimizer.lr=0.002" train.seed=7 > grid.txt
  LOCKSTEP_SETTINGS=grid.txt LOCKSTEP_FAULT=$slow submit array array --array=1-3 --output=array-%a.out -- \
    "$work/run.toml" --set "data.path=$work/small.h5" --set checkpoint.dir=array --set train.steps=60
  local last
  saves array/3
  last=$(scontrol show job "${job}_3" | sed -n 's/^JobId=\([0-9]*\) .*/\1/p')
  scancel --batch --signal=USR1 "${job}_3"
  ends "${job}_1" COMPLETED 0 0
  ends "${job}_2" COMPLETED 0 0
  ends "${job}_3" COMPLETED 0 1
  has_digest array-1 "$(digest_alone --set train.steps=60 --set train.seed=5)"
  has_digest array-2 "$(digest_alone --set train.steps=60 --set train.seed=6 --set optimizer.lr=0.002)"
  has_digest array-3 "$(digest_alone --set train.steps=60 --set train.seed=7)"
  echo "ok: element 3 is job $last of array $job"
  LOCKSTEP_SETTINGS=grid.txt submit beyond array --array=9 -- "$work/run.toml" --set "data.path=$work/small.h5"
  ends "${job}_9" FAILED 2 0
  says beyond 'grid\.txt has nothing in line 9'
}

# eval waits for a run that goes back to the queue in between, and does not wait for one that fails.
case_chain() {
  local first second never
  LOCKSTEP_FAULT=$slow submit_run chain -- --set train.steps=100
  first=$job
  second=$(sbatch --parsable --dependency=afterok:"$first" --kill-on-invalid-dep=yes --ntasks=2 --output=eval.out \
    --exclude='n[5-10]' --wrap "srun --mpi=pmix '$program' eval chain --set data.path='$work/small.h5' --set data.test=train")
  submit wrong train -- nowhere.toml
  never=$(sbatch --parsable --dependency=afterok:"$job" --kill-on-invalid-dep=yes --ntasks=1 --output=never.out \
    --wrap true)
  saves chain
  scancel --batch --signal=USR1 "$first"
  ends "$first" COMPLETED 0 1
  has_digest chain "$(digest_alone --set train.steps=100)"
  ends "$second" COMPLETED 0 0
  says eval 'train of .*step-0000000100\.h5: 903 samples'
  ends "$never" CANCELLED 0 0
  echo "ok: $(grep -oE 'train of .*' eval.out)"
}

case_scaling() {
  submit scaling scaling --nodes=2 --ntasks-per-node=2 --output=scaling.csv --error=scaling.err -- \
    "$work/run.toml" --set "data.path=$work/small.h5" --set train.lanes=2
  ends "$job" COMPLETED 0 0
  LOCKSTEP_MOST=2 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    bash "$scripts/scaling.sbatch" "$work/run.toml" --set "data.path=$work/small.h5" > alone.csv 2> alone.err ||
    fail "outside of Slurm"
  cut -d , -f 1-5 scaling.csv > shape.txt
  cut -d , -f 1-5 alone.csv >> shape.txt
  diff - shape.txt << 'END' || fail "the table has another shape"
mode,nodes,ranks,batch,lanes
strong,1,1,48,2
strong,1,2,48,2
weak,1,1,48,2
weak,1,2,96,4
weak,2,4,192,8
mode,nodes,ranks,batch,lanes
strong,1,1,48,8
strong,1,2,48,8
weak,1,1,48,8
weak,1,2,96,16
END
  grep -q 'strong ends at train.lanes = 2 ranks' scaling.err || fail "not said why strong ends"
  ! grep -vE '^mode|^(strong|weak),[0-9,]+,[0-9.]+,[0-9.]+,[0-9.]+$' scaling.csv alone.csv || fail "no numbers"
  echo "ok: scaling"
}

# lockstep doctor as a step of an allocation: one MPI job over two nodes; and srun with a PMI that this MPI does not speak.
case_doctor() {
  local code=0 step=(salloc --quiet --nodes=2 --ntasks-per-node=2 "--exclude=n[5-10]" srun)
  "${step[@]}" --mpi=pmix "$TESTED" doctor > right.out 2> right.err || code=$?
  [ $code -le 1 ] || fail "doctor ended with $code"  # 1: the lab's ranks may share cores
  says right '^pass  launch +4 ranks on 2 nodes by srun'
  code=0
  "${step[@]}" --mpi=none "$TESTED" doctor > wrong.out 2> wrong.err || code=$?
  [ $code = 1 ] || fail "doctor without PMIx ended with $code"
  says wrong '^fail  launch +srun started 4 processes.*srun --mpi=pmix'
}
