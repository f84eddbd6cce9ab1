#!/usr/bin/python3
"""Rounds of kills: scripts/run_until_done.sh must end each with the bits of a run that nobody disturbed.

kill_rounds.py PROGRAM RUN_UNTIL_DONE DATA WORK SEED ROUNDS [FIRST]

A round draws, from SEED and its number, a run and a few attempts: on how many ranks, by which strategy, and
what is killed when (kill_launcher.py does it). All checkpoints are read whole between the attempts. A round that
fails prints its seed and keeps its folder.
"""
import collections
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

STEPS = 24
HERE = pathlib.Path(__file__).parent
PLACES = ["start", "data", "forward", "fold", "snapshot", "write", "rename"]
MOMENTS = ["rank", "all ranks", "mpirun", "mpirun and all ranks"]
# What no choice of ranks, strategy or background may change; local steps have numbers of their own.
RUN = ["train.steps=%d" % STEPS, "checkpoint.keep=3", "log.window=5", "run.watchdog=60"]
LOCAL = ["parallel.strategy=local", "parallel.every=3"]
MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_mpi_yield_when_idle": "1",
       "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none"}


def sets(overrides):
    return [word for override in overrides for word in ("--set", override)]


def digests(text):
    """{step: digest} of what a run says."""
    return {int(step): digest for digest, step in re.findall(r"^digest ([0-9a-f]{32}) after step (\d+)", text, re.M)}


def metrics(folder):
    """Lines of metrics.jsonl without times."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


def strategy(rng):
    name = rng.choice(["replicated", "sharded", "sharded", "server"])
    return ["parallel.strategy=" + name] + (["parallel.stage=%d" % rng.randint(1, 3)] if name == "sharded" else [])


def draw_attempt(rng, number, local):
    """Ranks, overrides, and what ends it."""
    attempt = {"ranks": rng.randint(1, 4), "overrides": LOCAL if local else strategy(rng),
               "background": rng.random() < 0.5}
    if "parallel.strategy=server" in attempt["overrides"]:
        attempt["ranks"] = max(2, attempt["ranks"])
    if number % 10 == 9 and rng.random() < 0.5:
        attempt["kill"] = "stopped rank"  # which others must miss
        attempt["ranks"] = max(2, attempt["ranks"])
        attempt["overrides"] = attempt["overrides"] + ["run.watchdog=4"]
    else:
        attempt["kill"] = rng.choice(PLACES + MOMENTS)
    attempt["rank"] = rng.randrange(attempt["ranks"])
    attempt["steps"] = rng.randint(1, 9)  # from the newest checkpoint on
    # A moment soon after the ranks began, after so many steps, or after a save has begun.
    attempt["after"] = rng.choice(["begin", "steps", "save"])
    attempt["seconds"] = rng.uniform(0, 0.4 if attempt["after"] == "begin" else 0.02)
    return attempt


def draw(seed, number):
    rng = random.Random("%d/%d" % (seed, number))
    local = rng.random() < 0.2
    attempts = [draw_attempt(rng, number, local) for _ in range(rng.randint(1, 4))]
    return {"seed": seed, "number": number, "local": local, "every": rng.randint(1, 6), "attempts": attempts,
            "last_ranks": rng.randint(2, 4)}


class Rounds:
    def __init__(self, program, script, data, work):
        self.program, self.script, self.data, self.work = program, script, data, work
        self.environment = {**os.environ, **MPI}
        options = subprocess.run([program, "config", "--options"], capture_output=True, text=True, check=True).stdout
        self.background = "`background`" in options
        self.undisturbed = {local: self.reference(local) for local in (False, True)}

    def command(self, folder, overrides):
        return [self.program, "train", str(HERE / "model.toml"),
                *sets([*RUN, "data.path=%s" % self.data, "checkpoint.dir=%s" % folder, *overrides])]

    def reference(self, local):
        folder = self.work / ("undisturbed-local" if local else "undisturbed")
        shutil.rmtree(folder, ignore_errors=True)
        done = subprocess.run(self.command(folder, ["checkpoint.every=1steps"] + (LOCAL if local else [])),
                              capture_output=True, text=True, env=self.environment)
        if done.returncode != 0:
            sys.exit("the undisturbed run ended with %d: %s" % (done.returncode, done.stderr))
        return digests(done.stdout), metrics(folder)

    def play(self, plan):
        """What went wrong, attempts, seconds."""
        home = self.work / ("round-%d-%d" % (plan["seed"], plan["number"]))
        shutil.rmtree(home, ignore_errors=True)
        (home / "tmp").mkdir(parents=True)
        plan.update(folder=str(home / "run"), notes=str(home / "notes"), program=self.program,
                    can_background=self.background)
        (home / "plan.json").write_text(json.dumps(plan, indent=1))
        environment = {**self.environment, "KILL_ROUND": str(home / "plan.json"), "TMPDIR": str(home / "tmp"),
                       "LOCKSTEP_LAUNCHER": str(HERE / "kill_launcher.py"), "LOCKSTEP_RESTART_WAIT": "0",
                       "LOCKSTEP_TRIES": "9"}
        start = time.monotonic()
        with open(home / "out.txt", "w") as out, open(home / "err.txt", "w") as err:
            try:
                code = subprocess.run([self.script, "-np", "2", *self.command(home / "run", ["checkpoint.every=%dsteps" % plan["every"]])],
                                      stdout=out, stderr=err, env=environment, timeout=120).returncode
            except subprocess.TimeoutExpired:
                code = "none within 120 s"
        seconds = time.monotonic() - start
        attempts = (home / "err.txt").read_text().count("run_until_done: attempt ")
        wrong = self.judge(home, plan, code)
        if not wrong:
            shutil.rmtree(home)
        return wrong, attempts, seconds

    def judge(self, home, plan, code):
        if code != 0:
            return ["exit code %s" % code]
        wrong = []
        expected, lines = self.undisturbed[plan["local"]]
        said = digests((home / "out.txt").read_text())
        wrong += ["digest after step %d: %s, undisturbed %s" % (step, digest, expected.get(step))
                  for step, digest in sorted(said.items()) if expected.get(step) != digest]
        if STEPS not in said:
            wrong.append("no digest at the end")
        if metrics(home / "run") != lines:
            wrong.append("metrics.jsonl differs from the undisturbed run's")
        best = [line["step"] for line in map(json.loads, (home / "run/metrics.jsonl").read_text().splitlines()) if line.get("best")]
        marked = (home / "run/best").read_text().strip() if best else ""
        if best and marked != "step-%010d.h5" % best[-1]:
            wrong.append("best is %s, and the best evaluation was at step %d" % (marked, best[-1]))
        if (home / "notes").exists():
            wrong += (home / "notes").read_text().splitlines()
        for file in sorted((home / "run").glob("step-*.h5")):
            if subprocess.run([self.program, "inspect", "--check", str(file)], capture_output=True).returncode != 0:
                wrong.append("%s cannot be read" % file.name)
        known = re.compile(r"step-\d{10}\.h5|best|metrics\.jsonl|(usage|run|plan)\.json(\.tmp)?|profile\.jsonl|events-before")
        wrong += ["stray file %s" % file for file in os.listdir(home / "run") if not known.fullmatch(file)]
        wrong += ["stray file in TMPDIR: %s" % file for file in os.listdir(home / "tmp")]
        wrong += ["stray file in /dev/shm: %s" % file for file in os.listdir("/dev/shm")]
        wrong += ["stray process %s" % process for process in processes(home / "plan.json")]
        return wrong


def processes(plan):
    """Those that still have this round in their environment."""
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and ("KILL_ROUND=%s" % plan).encode() in pathlib.Path("/proc", entry, "environ").read_bytes():
                yield entry + " " + pathlib.Path("/proc", entry, "cmdline").read_text().replace("\0", " ")
        except OSError:
            pass


def main(program, script, data, work, seed, count, first="0"):
    work = pathlib.Path(work).absolute()
    work.mkdir(parents=True, exist_ok=True)
    rounds = Rounds(os.path.abspath(program), os.path.abspath(script), os.path.abspath(data), work)
    planned, struck, failed, restarts = collections.Counter(), collections.Counter(), [], 0
    for number in range(int(first), int(first) + int(count)):
        plan = draw(int(seed), number)
        kills = [attempt["kill"] for attempt in plan["attempts"]]
        wrong, attempts, seconds = rounds.play(plan)
        restarts += attempts - 1
        planned.update(kills)
        struck.update(kills[:attempts - 1])
        print("%s: round %d of seed %s: %s%s; %d attempts, %.1f s" %
              ("FAILED" if wrong else "ok", number, seed, "local steps, " if plan["local"] else "", ", ".join(kills), attempts,
               seconds), flush=True)
        if wrong:
            failed.append(number)
            print("  " + "\n  ".join(wrong) + "\n  kept: %s" % (work / ("round-%s-%d" % (seed, number))), flush=True)
            shutil.rmtree("/dev/shm/", ignore_errors=True)
    print("\nkilled: of planned")
    for kind in PLACES + MOMENTS + ["stopped rank"]:
        print("  %-22s %4d of %4d" % (kind, struck[kind], planned[kind]))
    print("%s rounds, %d restarts, %d failed%s" % (count, restarts, len(failed), failed or ""))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    if "KILL_ROUNDS_ALONE" not in os.environ:  # a /dev/shm of its own shows what is left there
        private = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
        os.execvp("unshare", [*private, "bash", "-c", 'mount -t tmpfs tmpfs /dev/shm && KILL_ROUNDS_ALONE=1 exec "$@"', "bash",
                              sys.executable, *sys.argv])
    main(*sys.argv[1:])
