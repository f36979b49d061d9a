"""What every section of scripts/bench needs: the build, inputs, and runs in a quiet moment."""

import json
import os
import statistics
import subprocess
import sys
import threading
import time

from nats_local import ROOT, WORK

PREFIX = "bench."
# For one quiet moment, and for all of them together.
IDLE_WAIT_SECONDS = 30
ALL_WAITS_SECONDS = 240
PYTHON_PACKAGES = ["singer-sdk==0.54.9", "nats-py==2.16.0"]

BENCH = os.path.join(WORK, "bench")
RELEASE = os.path.join(os.environ.get("CARGO_TARGET_DIR") or os.path.join(ROOT, "target"), "release")
PROGRAM = os.path.join(RELEASE, "target-nats")
MAKE_INPUT = os.path.join(RELEASE, "examples", "make_input")
RAW_WIRE = os.path.join(RELEASE, "examples", "raw_wire")
JS_LOOP = os.path.join(RELEASE, "examples", "js_loop")
PYTHON = os.path.join(WORK, "bench-venv", "bin", "python")


class Run:
    """One run of a command on an input: wall and CPU seconds, peak memory, and what it printed."""

    def __init__(self, command, input_path):
        self.stdout_path = os.path.join(BENCH, "stdout")
        self.stderr_path = os.path.join(BENCH, "stderr")
        with open(input_path) as stdin, open(self.stdout_path, "w") as stdout, open(self.stderr_path, "w") as stderr:
            self.start = time.monotonic()
            self.process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr)
        self.peak_kb = 0
        self.sampler = threading.Thread(target=self._sample_memory)
        self.sampler.start()

    def _sample_memory(self):
        # Not ru_maxrss: a child's starts at what its parent had when it called exec.
        try:
            while True:
                with open(f"/proc/{self.process.pid}/status") as status:
                    peak = [line.split()[1] for line in status if line.startswith("VmHWM")]
                if not peak:
                    return
                self.peak_kb = int(peak[0])
                time.sleep(0.005)
        except OSError:
            return

    def wait(self):
        _, status, usage = os.wait4(self.process.pid, 0)
        self.seconds = time.monotonic() - self.start
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.sampler.join()
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        with open(self.stdout_path) as file:
            self.lines = file.read().splitlines()
        if self.process.returncode != 0:
            with open(self.stderr_path) as file:
                sys.exit(f"exit {self.process.returncode} of {self.process.args}\n{file.read()[-2000:]}")
        return self


def build():
    os.makedirs(BENCH, exist_ok=True)
    command = ["cargo", "build", "--quiet", "--release", "--bin", "target-nats", "--examples"]
    subprocess.run(command, cwd=ROOT, check=True)
    subprocess.run([os.path.join(ROOT, "scripts", "install"), "nats"], check=True)
    if not os.path.exists(PYTHON):
        subprocess.run([sys.executable, "-m", "venv", os.path.dirname(os.path.dirname(PYTHON))], check=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *PYTHON_PACKAGES], check=True)


def make_input(variant, records):
    """The input's path. Made anew only when its generator is newer."""
    path = os.path.join(BENCH, f"{variant}-{records}.jsonl")
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(MAKE_INPUT):
        with open(path + ".part", "w") as file:
            subprocess.run([MAKE_INPUT, variant, str(records)], stdout=file, check=True)
        os.replace(path + ".part", path)
    return path


def write_config(name, settings):
    path = os.path.join(BENCH, f"config-{name}.json")
    with open(path, "w") as file:
        json.dump(settings, file)
    return path


class IdleWaits:
    """What has been waited for quiet moments so far."""

    seconds_left = ALL_WAITS_SECONDS
    given_up = 0


def wait_until_idle():
    """What else the machine does is not to be measured: waits for a quiet moment, but not for ever."""
    start = time.monotonic()
    deadline = start + min(IDLE_WAIT_SECONDS, IdleWaits.seconds_left)
    is_idle = False
    while not is_idle and time.monotonic() < deadline:
        idle, total = cpu_ticks()
        time.sleep(0.2)
        idle_now, total_now = cpu_ticks()
        is_idle = idle_now - idle > 0.9 * (total_now - total)
    IdleWaits.given_up += not is_idle
    # The shortest wait is no waiting.
    IdleWaits.seconds_left -= max(0, time.monotonic() - start - 0.3)


def print_noise():
    if IdleWaits.given_up:
        print(f"Note: {IdleWaits.given_up} runs were begun while the machine was busy with other things.")


def cpu_ticks():
    """Idle and all ticks of all cores since the start of the machine."""
    with open("/proc/stat") as file:
        ticks = [int(word) for word in file.readline().split()[1:]]
    return ticks[3] + ticks[4], sum(ticks)


def check_state(run, records):
    state = {"bookmarks": {"users": {"id": records - 1}}}
    if not run.lines or json.loads(run.lines[-1]) != state:
        sys.exit(f"the last STATE is {run.lines[-1:]} instead of {state}")


def render_rates(rates):
    """The median, and what it is the median of."""
    spread = f" ({min(rates):,.0f} to {max(rates):,.0f})" if len(rates) > 1 else ""
    return f"{statistics.median(rates):,.0f}{spread}"


def render_costs(runs, records):
    """The last two cells of a row: CPU seconds per million records, and peak memory."""
    cpu = statistics.median(run.cpu_seconds for run in runs) * 1_000_000 / records
    return f"{cpu:.2f} | {max(run.peak_kb for run in runs) / 1024:.1f} MB"
