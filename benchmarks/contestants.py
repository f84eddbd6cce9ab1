"""The programs that compare_pytorch.py times: bench_step and torch_step.py, each a process that reads numbers of
steps and answers seconds per step. And PyTorch's settings, searched for the best."""
import os
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEP_SECONDS = 0.4  # a timing takes about this long
DEFAULTS = {"kernels": "own", "optimizer": "default", "layout": "contiguous", "onednn": "on", "compile": "no"}
# What is tried, one after another; what is faster stays.
CHOICES = [("kernels", "SkylakeX"), ("optimizer", "foreach"), ("optimizer", "fused"), ("layout", "channels_last"),
           ("onednn", "off"), ("compile", "yes")]


def clean_environment():
    """Without what would set the threads or kernels of a BLAS."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "MKL_", "OMP_", "KMP_", "GOMP_"))}


class Contestant:
    def __init__(self, command, environment, cores):
        # In a session of its own, so that close() ends what it started too.
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
                                        preexec_fn=lambda: os.sched_setaffinity(0, cores))
        self.steps = 1

    def ask(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError((self.process.stderr.read().strip().splitlines() or ["no answer"])[-1])
        return list(map(float, line.split()))

    def warm_up(self):
        """Two steps; from now on time() takes about STEP_SECONDS."""
        self.ask(1)
        seconds = self.ask(1)[0]
        self.steps, self.slow = max(1, round(STEP_SECONDS / seconds)), seconds > 2

    def time(self):
        return self.ask(self.steps)[0]

    def peak_memory(self):
        """Most bytes that the process has held, so far."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0

    def close(self):
        try:
            self.process.stdin.close()
            self.process.wait(20)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            pass
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


class Lockstep(Contestant):
    def __init__(self, program, model, lanes, batch, precision, cores, ranks=1):
        launch = [ROOT / "scripts/mpirun.sh", "-np", ranks] if ranks > 1 else []
        extra = [] if precision == "fp32" else [precision]
        super().__init__([*launch, program, model, lanes, batch, *extra], clean_environment(), cores)
        self.gflops = self.of_peak = self.last = 0.0

    def time(self):
        self.last, self.gflops, self.of_peak = self.ask(self.steps)
        return self.last


class Torch(Contestant):
    def __init__(self, python, model, batch, settings, cores, threads=1, ranks=1, precision="fp32"):
        environment = clean_environment()
        # An OpenBLAS with threads of its own does not hear torch.set_num_threads.
        environment["OPENBLAS_NUM_THREADS"] = str(threads)
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        if settings["kernels"] != "own":
            environment["OPENBLAS_CORETYPE"] = settings["kernels"]
        options = [f"--{key}={value}" for key, value in settings.items() if key != "kernels"]
        start = time.perf_counter()
        super().__init__([python, ROOT / "benchmarks/torch_step.py", model, batch, *options, f"--threads={threads}",
                          f"--ranks={ranks}", f"--port={20000 + os.getpid() % 20000}", f"--precision={precision}"],
                         environment, cores)
        ready = self.process.stdout.readline().split()
        if not ready:
            raise RuntimeError((self.process.stderr.read().strip().splitlines() or ["no start"])[-1])
        self.version, self.start_seconds = ready[1], time.perf_counter() - start
        self.openblas = ready[3] == "False"  # no MKL


def shown(settings):
    """In words, what is not the default."""
    words = {"kernels": "OPENBLAS_CORETYPE=", "optimizer": "AdamW ", "layout": "", "onednn": "oneDNN ",
             "compile": "torch.compile"}
    chosen = [words[k] + ("" if k == "compile" else v) for k, v in settings.items() if v != DEFAULTS[k]]
    return ", ".join(chosen) or "defaults"


def least_time(make, times=3):
    """The least of a few timings, one where a step takes seconds; None if the contestant cannot run."""
    contestant = None
    try:
        contestant = make()
        contestant.warm_up()
        return min(contestant.time() for _ in range(1 if contestant.slow else times))
    except (RuntimeError, OSError, ValueError) as error:
        print(f"    not possible: {str(error)[:100]}", file=sys.stderr)
        return None
    finally:
        if contestant:
            contestant.close()


def search(python, model, batch, convolutions, cores, times=3, quick=False):
    """Every timing made as [(settings, seconds)], the best last."""
    best, tried, openblas = dict(DEFAULTS), [], []

    def make(settings):
        torch = Torch(python, model, batch, settings, cores)
        openblas.append(torch.openblas)
        return torch

    def attempt(settings):
        seconds = least_time(lambda: make(settings), times)
        if seconds is not None:
            tried.append((settings, seconds))
            print(f"    {shown(settings)}: {seconds * 1e3:.1f} ms", flush=True)
        return seconds

    least = attempt(best)
    if least is None:
        return []
    for key, value in CHOICES:
        if key == "layout" and not convolutions or key == "kernels" and not openblas[0]:
            continue
        if quick and key in ("compile", "onednn"):
            continue
        settings = {**best, key: value}
        seconds = attempt(settings)
        if seconds is not None and seconds < least * 0.99:
            best, least = settings, seconds
    tried.sort(key=lambda entry: -entry[1])
    return tried
