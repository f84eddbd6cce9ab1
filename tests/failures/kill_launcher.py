#!/usr/bin/python3
"""Stands where run_until_done.sh expects mpirun, for kill_rounds.py: kill_launcher.py -np N PROGRAM ...

Notes what the attempt before has left, chooses ranks and strategy as this round's plan says, arms what kills
this attempt, and becomes mpirun.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time


def note_damage(plan):
    """Every checkpoint must be whole at any time, and no rank may have outlived its launcher."""
    notes = []
    for file in sorted(pathlib.Path(plan["folder"]).glob("step-*.h5")):
        checked = subprocess.run([plan["program"], "inspect", "--check", str(file)], capture_output=True, text=True)
        if checked.returncode != 0:
            notes.append("before attempt %s: %s" % (os.environ["LOCKSTEP_ATTEMPT"], checked.stderr.strip()))
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if pathlib.Path("/proc", entry, "comm").read_text() == "lockstep\n" and \
                    plan["folder"].encode() in pathlib.Path("/proc", entry, "cmdline").read_bytes():
                notes.append("before attempt %s: rank %s still runs" % (os.environ["LOCKSTEP_ATTEMPT"], entry))
        except OSError:
            pass
    if notes:
        with open(plan["notes"], "a") as file:
            file.write("\n".join(notes) + "\n")


def newest_step(folder):
    return max((int(file.stem[5:]) for file in pathlib.Path(folder).glob("step-*.h5")), default=0)


def ranks_of(launcher):
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = int(pathlib.Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == launcher and pathlib.Path("/proc", entry, "comm").read_text() == "lockstep\n":
                yield int(entry)
        except (OSError, IndexError):
            pass


def await_moment(attempt, folder, launcher):
    """The ranks at the moment that the plan means; the run may end before."""
    begun, victims = newest_step(folder), []
    while os.path.exists("/proc/%d" % launcher):
        if len(victims) != attempt["ranks"]:
            victims = sorted(ranks_of(launcher))
        elif attempt["after"] == "begin" or \
                (attempt["after"] == "steps" and newest_step(folder) >= begun + attempt["steps"]) or \
                (attempt["after"] == "save" and any(pathlib.Path(folder).glob("*.tmp"))):
            break
        time.sleep(0.001)
    time.sleep(attempt["seconds"])
    return victims


def strike(attempt, folder):
    """In a process of its own: waits for its moment, then kills."""
    launcher = os.getpid()
    if os.fork() != 0:
        os.wait()
        return
    if os.fork() != 0:
        os._exit(0)
    victims = await_moment(attempt, folder, launcher)
    kill = attempt["kill"]
    how = signal.SIGSTOP if kill == "stopped rank" else signal.SIGKILL
    if kill in ("rank", "stopped rank"):
        victims = victims[attempt["rank"]:attempt["rank"] + 1]
    if kill.startswith("mpirun"):
        victims = [launcher] + (victims if kill.endswith("ranks") else [])
    for victim in victims:
        try:
            os.kill(victim, how)
        except ProcessLookupError:
            pass
    os._exit(0)


def main(words):
    plan = json.loads(pathlib.Path(os.environ["KILL_ROUND"]).read_text())
    note_damage(plan)
    number = int(os.environ["LOCKSTEP_ATTEMPT"]) - 1
    if number < len(plan["attempts"]):
        attempt = plan["attempts"][number]
    else:
        attempt = {**plan["attempts"][-1], "ranks": plan["last_ranks"], "kill": ""}
    overrides = attempt["overrides"]
    if plan["can_background"]:
        overrides = overrides + ["checkpoint.background=%s" % str(attempt["background"]).lower()]
    kill = attempt["kill"]
    if kill in ("rank", "all ranks", "mpirun", "mpirun and all ranks", "stopped rank"):
        strike(attempt, plan["folder"])
    elif kill:
        newest, every = newest_step(plan["folder"]), plan["every"]
        step = newest + attempt["steps"]
        if kill in ("snapshot", "write", "rename"):  # of one of the next saves
            step = (newest // every + (step % 3) + 1) * every
        rank = 0 if kill == "rename" else attempt["rank"]  # the only one that comes there
        os.environ["LOCKSTEP_FAULT"] = "kill rank=%d at=%s%s" % (rank, kill, "" if kill == "start" else " step=%d" % step)
    os.execvp("mpirun", ["mpirun", "-np", str(attempt["ranks"]), *words[2:],
                         *(word for override in overrides for word in ("--set", override))])


if __name__ == "__main__":
    main(sys.argv[1:])
